"""A new model from the command line: shadow, compare, promote, roll back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.e2e

LABELS = "SELECT * FROM post_emotions ORDER BY platform, post_id"
CELLS = "SELECT * FROM emotion_trends ORDER BY granularity, bucket, dimension, value, emotion"


@pytest.mark.slow
def test_a_new_model_is_tried_promoted_and_taken_back(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
    tmp_path: Path,
) -> None:
    topic = make_topic(partitions=2)
    produce(topic, [a_post(n) for n in range(40)])
    assert run("run", "--drain", "--topics", topic)[0] == 0
    code, out, _ = run("replays")
    assert (code, out.startswith("There are no replays.")) == (0, True)
    live, cells = query(LABELS), query(CELLS)

    code, out, _ = run("replay", "--name", "march", "--topic", topic, "--shadow")
    assert (code, "replay march finished: 40 records (40 labelled)" in out) == (0, True)
    assert query(LABELS) == live
    # The stub says the same again: let the new model have changed its mind about some.
    query(
        "UPDATE shadow_labels SET emotion = 'anger', sadness = 0, joy = 0, love = 0, fear = 0, "
        "surprise = 0, anger = 900000, confidence = 0.9 WHERE post_id < '2' RETURNING post_id"
    )
    changed = query(
        "SELECT count(*) FROM shadow_labels s JOIN post_emotions e USING (platform, post_id) "
        "WHERE s.emotion <> e.emotion"
    )[0][0]
    assert changed
    # What comes meanwhile is passed over.
    produce(topic, [(b"tw:0", None, None, None)])
    assert run("run", "--drain", "--topics", topic)[0] == 0

    code, out, _ = run("replays", "list", "--json")
    (listed,) = json.loads(out)
    assert (listed["name"], listed["kind"], listed["state"]) == ("march", "shadow", "finished")
    code, out, _ = run("replays", "show", "march")
    assert (code, "emotion-worker replays promote march" in out) == (0, True)
    code, _, err = run("replays", "promote", "mrach")
    assert (code, "Did you mean 'march'?" in err) == (1, True)
    code, _, err = run("replays", "rollback", "march")
    assert (code, "cannot be rolled back" in err) == (1, True)

    code, out, err = run("replays", "compare", "march", "--json", "--plot", "compare.png")
    found = json.loads(out)
    assert (code, found["posts"], found["withdrawn"]) == (0, 39, 1)
    # Post 0 was one of those that the new model says something else of, or was not.
    assert found["posts"] - found["agreement"]["same"] in {changed, changed - 1}
    assert found["confusion"]["anger"]["joy"] == 0
    assert (tmp_path / "compare.png").stat().st_size > 10_000
    code, out, _ = run("replays", "compare", "march", "--by", "hashtag", "--top", "2")
    assert (code, "39 posts compared; left out: 1 withdrawn" in out) == (0, True)

    before, cells = query(LABELS), query(CELLS)
    code, out, err = run("replays", "promote", "march")
    assert (code, "39 labels put in place, 1 passed over" in out) == (0, True)
    assert query("SELECT count(*) FROM post_emotions WHERE emotion = 'anger'")[0][0] >= 10
    assert run("verify")[0] == 0
    code, out, _ = run("replays", "compare", "march", "--json")
    assert json.loads(out)["agreement"] == found["agreement"]

    code, out, _ = run("replays", "rollback", "march")
    assert (code, out) == (0, "replay march rolled back: 39 labels taken back\n")
    assert (query(LABELS), query(CELLS)) == (before, cells)
    assert run("verify")[0] == 0
    code, out, _ = run("replays", "show", "march", "--json")
    shown = json.loads(out)
    assert (shown["state"], shown["promoted"], shown["restored"]) == ("rolled_back", 39, 39)
    assert (shown["shadow_labels"], shown["kept_labels"], shown["next"]) == (0, 0, [])
    assert (
        shown["outcomes"]["labelled"] == sum(one["consumed"] for one in shown["partitions"]) == 40
    )

    code, _, err = run("replays", "compare", "march")
    assert (code, "was rolled back" in err) == (1, True)


def test_a_shadow_that_nobody_wants_is_dropped(
    run: Callable[..., Any],
    query: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
) -> None:
    topic = make_topic(partitions=1)
    produce(topic, [a_post(n) for n in range(10)])
    assert run("replay", "--name", "march", "--topic", topic, "--shadow")[0] == 0
    code, out, _ = run("replays", "compare", "march")
    assert (code, "10 that the live stream never saw" in out) == (0, True)
    code, out, _ = run("replays", "discard", "march")
    assert (code, "replay march discarded: 10 labels dropped" in out) == (0, True)
    assert query("SELECT count(*) FROM shadow_labels") == [(0,)]
    code, _, err = run("replays", "promote", "march")
    assert (code, "is discarded and cannot be promoted" in err) == (1, True)
