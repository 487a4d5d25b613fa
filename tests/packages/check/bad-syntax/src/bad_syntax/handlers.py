from fastsoy_events import on

@on("order.placed"  # expect: FSE401
async def greet(): ...
