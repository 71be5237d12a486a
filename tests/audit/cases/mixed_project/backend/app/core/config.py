class Settings:
    REDIS_URL = "redis://"


settings = Settings()
