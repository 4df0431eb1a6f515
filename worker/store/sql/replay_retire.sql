UPDATE stream_offsets s
SET owner_epoch = s.owner_epoch + 1, retired_at = now()
FROM replays r
WHERE r.name = %(name)s AND s.consumer_group = r.consumer_group AND s.retired_at IS NULL
