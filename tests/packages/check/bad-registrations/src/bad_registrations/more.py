from fastsoy_events import on

from bad_registrations.work import pack, wrapped

pack_again = pack
on("order.placed")(pack)
on("order.placed")(pack_again)
on("order.placed")(wrapped)
