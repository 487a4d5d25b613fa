from fastsoy_events import event


@event("parcel.lost")  # expect: FSE105
def parcel_lost(*, parcel_id: int) -> None:
    """A parcel is lost."""
