"""How many processes the tests of sudden deaths kill: a few by default, to keep the suite quick; many in `make soak`."""

import os

N_KILLS = int(os.environ.get("AUTOINTERP_KILLS", "3"))
