"""How many processes the tests of sudden deaths kill: a few by default, so that the suite stays quick; `make soak` kills many."""

import os

N_KILLS = int(os.environ.get("AUTOINTERP_KILLS", "5"))
