"""Attribution: which pixels a class's score or a unit's activation rests on."""
