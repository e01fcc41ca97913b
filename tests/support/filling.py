"""Fill a store with one version of a few hundred kilobytes.

`python filling.py STORE LARGEST_FILE` does so while the kernel refuses longer files (RLIMIT_FSIZE), as a quota would, and
prints what the store says.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pyarrow as pa

from storage.artefacts import arrays, tables
from storage.errors import NoSpace
from storage.store.store import Store
from support import stores


def fill(store: Store) -> None:
    rng = np.random.default_rng(0)
    results = [stores.commit(store, "a", 1)]
    for number in range(3):
        key = stores.key("large", number)
        values = rng.random((4000, 8), dtype=np.float32)
        found = store.find("large", key)
        if found is None:
            with store.draft("large", key) as draft:
                arrays.write_group(draft.path / "x.zarr", {"x": values})
                tables.write_table(draft.path / "x.parquet", pa.table({"x": values[:, 0]}))
                (draft.path / "plain.bin").write_bytes(values[:1000].tobytes())
                found = draft.commit({"number": number})
        results.append(found)
    store.publish("run", stores.contents(results))


def main() -> None:
    store = Store(Path(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    try:
        fill(store)
    except NoSpace as error:
        print(error)


if __name__ == "__main__":
    main()
