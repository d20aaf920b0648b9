"""Surprisal: a text continues a description of it. For base models, which continue rather than obey."""

VERSION = "surprisal-1"

PREFIX = """\
Each entry describes what a group of excerpts has in common and then gives one of them.

Description: prices, amounts of money with their currency
Excerpt: tickets from the machine cost $4.20 each, and children ride free

Description: an assortment of excerpts on no particular subject
Excerpt: founded by two brothers who had left the army to repair clocks

Description: the word "than" in comparisons
Excerpt: in winter the northern road is safer than the pass, but it takes

Description: names of rivers
Excerpt: where the Drava meets the Danube the land is flat and wet

"""

SHORT_VERSION = "surprisal-short-1"

SHORT_PREFIX = ""
"""Without examples of the task, for models whose context does not hold them."""

NEUTRAL = "an assortment of excerpts on no particular subject"

ENTRY = "Description: {explanation}\nExcerpt:"
