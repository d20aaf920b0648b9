"""Audits of explanations by hand: what is drawn, in which order it is asked, what is shown, and what the answers say."""
