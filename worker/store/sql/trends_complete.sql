SELECT emotion_complete_until()
