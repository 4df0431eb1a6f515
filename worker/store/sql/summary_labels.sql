SELECT platform, post_id, sadness, joy, love, anger, fear, surprise
FROM post_emotions
WHERE emotion <> 'unlabelled'
