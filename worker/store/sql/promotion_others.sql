SELECT name, state
FROM replays
WHERE state IN ('promoting', 'rolling_back') AND name <> %(name)s
