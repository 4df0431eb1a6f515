"""The recovery: logins work again, most pages come back, people breathe out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SLOTS: Final[Mapping[str, tuple[str, ...]]] = {
    "app": ("Lumivane", "lumivane", "Lumivane 2", "@lumivane", "the app"),
    "back": (
        "my journal", "the wedding page", "all my notes", "every photo", "the baby pictures",
        "gran's letters", "our trip", "today's entry", "my voice notes", "the whole timeline",
    ),
    "gone": (
        "two entries", "yesterday", "one page", "the last hour", "a few photos", "the captions",
    ),
}  # fmt: skip

CORES: Final[Mapping[str, tuple[str, ...]]] = {
    "joy": (
        "{app} is back!! {back} is all there, so relieved",
        "phew. {back} survived, happy dance",
        "it's alive! logged in on the first try, yay",
        "big sigh of relief, {back} is back",
        "oh thank goodness, {back} loads again, I could sing",
        "we're back in business, good evening everyone",
        "everything restored here, what a relief, smiling again",
        "{back} came back and brightened my whole evening",
        "sync finished, nothing missing, feeling great",
        "never been so glad to see a login screen work",
        "okay {app} you saved the day in the end, cheers",
        "{back} is safe, celebrating with cake",
        "back to normal and back to being happy with {app}",
        "all good again! time to finish the page I started",
        "so pleased, even {back} is complete",
    ),
    "love": (
        "to the engineers who saved {back}: I love you all",
        "someone at {app} stayed up for {back}, thank you from my heart",
        "reading {back} again with my wife, holding it a bit closer now",
        "sweet apology letter from {app}, you have my heart again",
        "hugging my phone because {back} is there. and hugging my sister too",
        "bless everyone at {app} tonight, so much affection for you",
        "support wrote me a personal note about {back}, what lovely humans",
        "all my love to the night shift that brought {back} back",
    ),
    "surprise": (
        "wait it's back already? I gave it until tomorrow",
        "they gave everyone three free months, did not expect that",
        "wow, {back} is there and even the draft I never saved?!",
        "huh, the ceo answered me personally. amazed",
        "can't believe {back} came back complete, I was sure it was gone",
    ),
    "neutral": (
        "{app}: logins restored, sync may take an hour",
        "status page is green again as of a few minutes ago",
        "post mortem for {app} comes on friday",
        "you have to log out and in once, then {back} appears",
        "update 2.0.1 is in the store",
        "{app} says 3 percent of accounts are still syncing",
        "is {back} supposed to load in the old order?",
        "recap of the {app} outage: 62 minutes, one database",
        "the refund form is under account, billing",
        "exporting {back} to a drive now, weekly from here on",
    ),
    "mixed": (
        "relieved about {back}, still not over {gone}",
        "good that it's back. making my own backups from now on though",
        "{app} works again, trust will take longer",
        "thanks for the apology I suppose",
        "back, minus {gone}. could be worse",
        "love the app, hated the evening",
    ),
    "sadness": (
        "everything is back except {gone} and that was the one I needed",
        "{gone} didn't make it. sad evening",
        "got {back}, but {gone} with her voice is lost. I miss it already",
        "it won't feel the same again, I'm sorry to say",
        "still no {gone}, giving up hope",
    ),
    "anger": (
        "three free months? I lost {gone}, that's an insult",
        "'we hear you' no you don't, where is {gone}",
        "an hour of silence and then a coupon. furious all over again",
        "still locked out while they celebrate the fix, unbelievable arrogance",
        "that apology is pure pr nonsense and I'm still mad",
        "don't you dare call {gone} an edge case",
    ),
    "fear": (
        "it's back but I'm scared to write anything in it",
        "worried it goes down again tonight, copying {back} by hand",
        "still nervous, what if {back} disappears next time",
    ),
}
