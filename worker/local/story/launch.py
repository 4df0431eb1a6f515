"""The launch: Lumivane 2, an app that turns a day's photos and notes into a journal, comes out.

Lumivane is made up for this feed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SLOTS: Final[Mapping[str, tuple[str, ...]]] = {
    "app": ("Lumivane", "lumivane 2", "Lumivane 2", "the new Lumivane", "the lumivane update"),
    "feature": (
        "the evening view", "the map of my year", "voice notes", "the shared journal",
        "the new timeline", "the memory cards", "the photo search", "the weekly letter",
        "the offline mode", "the handwriting import", "the dark theme", "the widget",
    ),
    "who": (
        "my mum", "my sister", "our whole office", "my grandad", "the group chat", "my class",
        "my wife",
    ),
    "span": ("five minutes", "an hour", "the whole lunch break", "ten minutes", "all afternoon"),
    "year": ("2016", "2018", "2019", "2020", "2021"),
}  # fmt: skip

CORES: Final[Mapping[str, tuple[str, ...]]] = {
    "joy": (
        "{app} is here and it's everything I hoped for",
        "been playing with {feature} for {span} and I'm having a blast",
        "{app} makes me so happy, what a great update",
        "finally!! {feature} just works, best day",
        "okay {app} is a delight, congrats to the team",
        "{who} and I are filling {app} with holiday photos, so much fun",
        "I've been grinning at {feature} for {span}",
        "took {span} to move everything over, totally worth it, thrilled",
        "the waiting was worth it. {feature} is brilliant",
        "it's so fast now!! {app} feels wonderful",
        "opened {app} and smiled the whole commute",
        "{feature} is exactly what I asked for in {year}, I'm delighted",
        "happy launch day! {app} is gorgeous",
        "this is how you do an update, well done, super pleased",
        "{app} turned my messy camera roll into something beautiful, yay",
        "got {who} to install {app} and now nobody is working, we're all laughing",
        "made my first page with {feature}, proud of it",
        "such a good release, everything about {feature} feels fresh and fun",
        "journaling is enjoyable again thanks to {app}",
        "excited to fill {app} this summer, looks amazing",
        "woohoo, {feature} landed on my phone as well",
    ),
    "love": (
        "I'm in love with {feature}, I mean it",
        "whoever designed {feature}: I adore you",
        "{app} put {who} and me from {year} on one page and my heart melted",
        "absolutely loving {app}, never leaving",
        "made a page for {who} with {feature}, we both got teary, so much love in there",
        "dear {app} team, thank you, you clearly care about us",
        "{feature} is the sweetest thing an app has ever done for me",
        "I love love love {app}",
        "sending hugs to everyone who built {feature}",
        "my new favourite thing in the world is {feature}",
        "{who} wrote me a letter through {app} and I will treasure it",
        "this app has such a warm heart, smitten with {feature}",
        "head over heels for {app} tbh",
        "reading our {year} trip in {feature} next to {who}, feeling so close again",
        "fond of apps is a weird thing to be but {app}, my darling",
        "everything in {feature} is made with love and you feel it",
    ),
    "surprise": (
        "wait, {feature} is free?? did not see that coming",
        "what, {app} is out TODAY? nobody told me",
        "how did {feature} find a photo from {year} I'd completely forgotten",
        "I'm stunned by how fast {app} is now, how",
        "whoa, {feature} reads my terrible handwriting. how is that possible",
        "no way they built {feature} in a year, wow",
        "didn't expect to like {app} at all and here we are, {span} later",
        "my jaw dropped at {feature}, genuinely",
        "hold on {app} works without a connection?!",
        "{who} is using {app}. the same {who} that refuses email. shocked",
        "I blinked and {span} were gone, what is this {feature} sorcery",
        "{feature} just played a voice note from {year} out of nowhere, I gasped",
        "they really kept {feature} secret until today, unbelievable",
        "mind blown by {feature}",
        "wasn't ready for {app} to show me {year} like that, wow",
    ),
    "neutral": (
        "{app} is out, download is 140 MB",
        "where do I find {feature} in the settings?",
        "{app} needs at least 3 GB of storage according to the notes",
        "installing {app} now",
        "release notes for {app} are on their blog",
        "does {feature} work on tablets?",
        "how do I export from {app} to pdf",
        "{app}: version 2.0.0, 12 languages, family plan from june",
        "moved {year} to 2024 over to {app}, 8,000 photos",
        "is {feature} part of the free plan or the paid one",
        "{who} asked which version of {app} they have",
        "comparing {app} with the old one in a video tomorrow",
        "the update to {app} is rolling out by region",
        "changelog lists {feature} under experimental",
    ),
    "mixed": (
        "{feature} is lovely, the price not so much",
        "like {app}, miss the old icon",
        "{app} looks great but I can't find half of my stuff",
        "{feature} is clever and also a little creepy, not sure yet",
        "some of {app} is brilliant, some of it is confusing",
        "happy about {feature}, annoyed about the new login",
        "it's fine? I'll give {app} another week",
    ),
    "anger": (
        "they moved {feature} behind a paywall, that's a rip off",
        "{app} deleted my shortcuts without asking, so irritating",
        "stop forcing {app} on me, I said LATER",
        "why does {app} need my contacts?? none of your business",
        "{app} logged me out {span} into writing, annoying as hell",
    ),
    "sadness": (
        "the old Lumivane is gone and I already miss it",
        "{app} reminded me of {year} and now I'm crying in the kitchen",
        "my phone is too old for {app}, feeling left out",
        "saw {who} in {feature}, from before. it still hurts",
    ),
    "fear": (
        "nervous about moving ten years of diary into {app}, what if it fails",
        "{feature} knows where I was in {year}, that scares me a bit",
        "pressed migrate on {app}, please don't lose my photos please please",
        "worried who else can read {feature}",
    ),
}
