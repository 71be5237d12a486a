from contextlib import asynccontextmanager
from importlib import import_module


class Gateway:
    @staticmethod
    def get_util():
        return import_module("opened_ways.clients").RedisUtil

    @asynccontextmanager
    async def session(self):
        util = self.get_util()
        client = await util.create()
        yield client, util


class Service:
    def __init__(self, gateway: Gateway):
        self.gateway = gateway

    async def names(self):
        async with self.gateway.session() as (client, _util):
            return sorted(await client.keys("name:*"))  # expect: UNS002

    async def drop(self):
        async with self.gateway.session() as (client, _util):
            found = sorted(await client.keys("name:*"))  # expect: UNS001
            await client.delete(*found)
