"""Short posts in other languages, so that the `lang` dimension has more than one value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

MOODS: Final = ("joy", "sadness", "anger", "love", "fear", "surprise", "neutral")

CALM: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "es": (
        (
            "qué alegría, por fin viernes",
            "estoy feliz, aprobé todo",
            "gran día en la playa, qué risa",
        ),
        (
            "la echo mucho de menos",
            "hoy no puedo parar de llorar",
            "se fue mi perro, estoy destrozado",
        ),
        (
            "dos horas esperando y nadie contesta, qué rabia",
            "estoy harta de este casero",
            "vergüenza ajena, indignado",
        ),
        (
            "te quiero, hermana",
            "qué suerte tenerte en mi vida",
            "mi abuela es lo mejor del mundo, la adoro",
        ),
        (
            "mañana me operan y tengo mucho miedo",
            "qué nervios, no duermo",
            "me asusta volver sola a casa",
        ),
        (
            "¿¿cómo?? no me lo esperaba",
            "no me lo puedo creer, qué sorpresa",
            "me quedé sin palabras",
        ),
        (
            "¿a qué hora abre la biblioteca?",
            "mañana hay mercado en la plaza",
            "busco piso de dos habitaciones",
        ),
    ),
    "de": (
        (
            "endlich Feierabend, bin richtig glücklich",
            "Prüfung bestanden, ich freu mich so",
            "was für ein schöner Tag am See",
        ),
        (
            "ich vermisse ihn so sehr",
            "heute ist alles grau, bin nur traurig",
            "wir mussten unseren Hund gehen lassen",
        ),
        (
            "schon wieder Zugausfall, ich könnte platzen",
            "so eine Frechheit vom Vermieter",
            "das macht mich stinksauer",
        ),
        (
            "ich hab dich lieb, Oma",
            "so dankbar für meine Freundin",
            "mein Herz gehört diesem kleinen Menschen",
        ),
        ("hab Angst vor morgen", "bin total nervös wegen der OP", "das Gewitter macht mir Angst"),
        (
            "was?? damit hab ich nicht gerechnet",
            "bin sprachlos, echt jetzt?",
            "das gibt's doch nicht",
        ),
        (
            "hat der Bäcker sonntags auf?",
            "der Bus fährt heute ab Steig 3",
            "suche ein gebrauchtes Rad",
        ),
    ),
    "fr": (
        (
            "quelle belle journée, trop contente",
            "j'ai eu mon permis, je suis heureux",
            "on a gagné, quelle joie",
        ),
        ("tu me manques tellement", "je pleure depuis ce matin", "le cœur lourd aujourd'hui"),
        (
            "une heure au téléphone pour rien, je suis furieux",
            "marre de ces retards",
            "c'est une honte",
        ),
        (
            "je t'aime maman",
            "tellement reconnaissante de t'avoir",
            "mon fils est l'amour de ma vie",
        ),
        (
            "j'ai peur des résultats demain",
            "trop angoissée pour dormir",
            "quelqu'un me suivait, j'ai eu si peur",
        ),
        (
            "quoi ?? je ne m'y attendais pas",
            "incroyable, je suis bouche bée",
            "mais comment c'est possible",
        ),
        (
            "le marché ouvre à 8 h",
            "quelqu'un a les horaires du train ?",
            "je cherche une table d'occasion",
        ),
    ),
    "pt": (
        ("que dia lindo, tô muito feliz", "passei na prova, que alegria", "ganhamos, que festa"),
        ("que saudade de você", "hoje só quero chorar", "perdi meu gatinho, coração partido"),
        (
            "duas horas na fila, que raiva",
            "tô furioso com esse atendimento",
            "que falta de respeito",
        ),
        ("te amo, vó", "gratidão por ter você comigo", "minha filha é o amor da minha vida"),
        (
            "tô com muito medo da cirurgia",
            "ansiosa demais pra amanhã",
            "ouvi um barulho e fiquei apavorado",
        ),
        ("como assim?? não esperava", "gente, tô chocada", "não acredito, que surpresa"),
        ("que horas abre a padaria?", "o ônibus passa às nove", "vendo uma mesa pequena"),
    ),
}
"""Per language, the moods of `MOODS` in order."""

OUTAGE: Final[Mapping[str, tuple[str, ...]]] = {
    "es": (
        "Lumivane caído otra vez, qué asco de servicio",
        "pago por esto y nada funciona, furioso",
        "devolvedme mis notas ya, sinvergüenzas",
    ),
    "de": (
        "Lumivane schon wieder down, ich bin so wütend",
        "ich zahle dafür und nichts geht, Frechheit",
        "meine Notizen sind weg, unfassbar, saftladen",
    ),
    "fr": (
        "Lumivane en panne encore, c'est scandaleux",
        "je paie et rien ne marche, furieuse",
        "rendez-moi mes photos, bande d'incapables",
    ),
    "pt": (
        "Lumivane fora do ar de novo, que ódio",
        "pago por isso e não funciona, que raiva",
        "cadê minhas fotos, bando de incompetente",
    ),
}
"""Angry posts during the outage."""


def write(lang: str, arc: str, rng: random.Random) -> tuple[str, str]:
    """A text in the language `lang`, and its mood."""
    if arc == "outage":
        return rng.choice(OUTAGE[lang]), "anger"
    mood = rng.randrange(len(MOODS))
    return rng.choice(CALM[lang][mood]), MOODS[mood]
