SELECT
    dimension, value, emotion, posts, expected, low, high, score, share_now, share_before,
    post_ids, texts, hashtags, top_author_share, note
FROM emotion_spikes(%(at)s)
