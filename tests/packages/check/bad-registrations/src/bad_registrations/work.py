from functools import partial


async def pack(**_: object) -> None:  # expect: FSE207, FSE207
    """Be registered under two names, and once more as a partial."""


wrapped = partial(pack)
