CREATE OR REPLACE FUNCTION emotion_complete_until() RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN count(*) = count(watermark) THEN min(watermark) END
    FROM stream_offsets
    WHERE retired_at IS NULL AND NOT starts_with(topic, '@');
END;
DELETE FROM stream_offsets WHERE consumer_group IN (SELECT consumer_group FROM replays);
DROP TABLE kept_labels;
DROP TABLE shadow_labels;
DROP TABLE replay_logs;
DROP TABLE replays;
DROP SEQUENCE replay_generations;
