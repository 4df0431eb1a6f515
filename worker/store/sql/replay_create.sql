INSERT INTO replays (name, kind, generation, model_id, consumer_group, topics, range, files)
VALUES (
    %(name)s, %(kind)s,
    CASE WHEN %(kind)s = 'in_place' THEN nextval('replay_generations') END,
    %(model_id)s, %(group)s, %(topics)s, %(range)s, %(files)s
)
ON CONFLICT DO NOTHING
