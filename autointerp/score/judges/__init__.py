"""Who answers the scorers' questions. A judge sees the explanation and the texts as shown, never the truth.

LLMJudge      a language model
OfflineJudge  word matching, no model; always labelled "offline"

Of how likely a text is (surprisal, intervention):

CausalTextModel  a local language model
ServedTextModel  a server that returns log probabilities
"""
