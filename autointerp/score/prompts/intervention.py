"""Intervention scoring: what a text has much of, named after the text. For base models, which continue rather than obey."""

VERSION = "intervention-1"

PREFIX = """\
Each entry is a passage, followed by a note on what there is more of in it than one would expect.

Passage: the ferry left the harbour at 6:45 with 212 passengers, 31 cars and 4
More than expected: "numbers, written in digits"

Passage: I went to the shop because she said her sister had left her coat there and she
More than expected: "words for a woman, such as she or her"

Passage: we should meet on the bridge, no later than apples, plums, a bowl of cherries
More than expected: "names of fruits"

Passage: The results of the vote were read aloud . . . . . . .
More than expected: "full stops"

"""

SHORT_VERSION = "intervention-short-1"

SHORT_PREFIX = ""
"""Without examples of the task, for models whose context does not hold them."""

ENTRY = 'Passage: {passage}\nMore than expected: "'
"""What the explanation follows, and a closing quotation mark."""

END = '"'
