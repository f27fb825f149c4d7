"""An attack: as far as the compromised devices would go honestly, the other way."""

from outpost_program import attack, serve


@attack
def opposite(updates, question):
    return -updates[question.colluders].mean(axis=0)


serve()
