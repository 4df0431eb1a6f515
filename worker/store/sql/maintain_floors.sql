-- Floors only rise: what was dropped once is expired for good.
UPDATE policy
SET label_floor = greatest(label_floor, %(label_floor)s::timestamptz),
    minute_floor = greatest(minute_floor, %(minute_floor)s::timestamptz)
WHERE label_floor IS DISTINCT FROM greatest(label_floor, %(label_floor)s::timestamptz)
    OR minute_floor IS DISTINCT FROM greatest(minute_floor, %(minute_floor)s::timestamptz)
