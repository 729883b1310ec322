import re

import pytest

from metarl_lite.envs.flappy import BIRD_X, FlappyTasks, VectorFlappyBird
from metarl_lite.film import FPS, LAST, bird_film


def game(*, aim, seed=3, steps=200):
    """Play one game that flaps below `aim` in the gap: every scene until its end."""
    env = VectorFlappyBird(FlappyTasks(wind=0.2), autoreset=False)
    obs, _ = env.reset(seed=seed)
    scenes, over = [env.scene()], False
    while not over and len(scenes) <= steps:
        obs, _, crashed, full, _ = env.step((obs[:, 5] > aim).astype(int))
        scenes, over = [*scenes, env.scene()], bool(crashed[0] or full[0])
    return scenes


GAMES = {"high": game(aim=1.0), "<low>": game(aim=0.1)}
FILM = bird_film(GAMES)


def keyframes(name):
    """Return {share of the film's time: transform} of one animation."""
    body = re.search(rf"@keyframes {name} {{(.*?}})}}", FILM.html)[1]
    return {float(at): move for at, move in re.findall(r"([\d.]+)% {transform: (.*?)}", body)}


def test_the_bird_is_where_the_scenes_say_at_every_decision():
    scenes, length = GAMES["<low>"], len(GAMES["<low>"]) + LAST
    places = keyframes("bird-1")
    for i, scene in enumerate(scenes):
        move = places.get(float(f"{100 * i / length:.3f}"))
        if move:  # what does not change is left out
            assert move.startswith(f"translate({BIRD_X}px, {scene.y:.1f}px)")
    assert len(places) > 0.9 * len(scenes)
    assert f"{length / FPS}s linear infinite" in FILM.html


def test_pipes_are_seen_where_the_scenes_have_them():
    scene, length = GAMES["<low>"][100], len(GAMES["<low>"]) + LAST
    moved = float(re.search(r"\((.*)px", keyframes("world-1")[round(100 * 100 / length, 3)])[1])
    lane = FILM.html.split('class="label"')[2]
    posts = {
        float(x) + moved: float(y) for x, y in re.findall(r'#lower" x="(\d+)" y="(\d+)"', lane)
    }
    for x, middle in scene.pipes:
        nearest = min(posts, key=lambda post: abs(post - x))
        assert nearest == pytest.approx(x, abs=0.6)
        assert posts[nearest] == pytest.approx(middle + scene.gap / 2, abs=0.6)


def test_scores_step_up_when_the_scenes_do():
    scenes, length = GAMES["<low>"], len(GAMES["<low>"]) + LAST
    steps = keyframes("score-1")
    first = next(i for i, scene in enumerate(scenes) if scene.score == 1)
    assert steps[float(f"{100 * first / length:.3f}")] == "translateY(-100px)"
    assert steps[100.0] == f"translateY({-100 * scenes[-1].score}px)"
    assert "score-1 {animation: score-1" in FILM.html
    assert re.search(r"score-1 [\d.]+s step-end", FILM.html)


def test_a_game_that_is_over_stands_still_while_the_other_goes_on():
    scenes, length = GAMES["high"], len(GAMES["<low>"]) + LAST
    places = keyframes("bird-0")
    assert len(scenes) < len(GAMES["<low>"])
    *_, end, last = sorted(places)
    assert end == pytest.approx(100 * (len(scenes) - 1) / length, abs=1e-3)
    assert places[end] == places[last]
    assert last == 100.0


def test_it_can_be_stopped_stands_still_for_who_prefers_that_and_is_small():
    assert 'type="checkbox" class="stop"' in FILM.html
    assert ":has(.stop:checked) .moves {animation-play-state: paused}" in FILM.html
    calm = re.search(r"reduced-motion: reduce\) {.*?paused; animation-delay: -([\d.]+)s", FILM.html)
    assert float(calm[1]) == pytest.approx((len(GAMES["high"]) - 1) / FPS, abs=0.01)
    assert len(FILM.html) < 500_000
    assert "<script" not in FILM.html
    assert not re.search(r'href="(?!#|data:)', FILM.html)  # nothing is fetched


def test_names_and_scores_are_told_to_who_cannot_see_it():
    assert "&lt;low&gt;" in FILM.html
    assert "<low>" not in FILM.html
    pipes = GAMES["<low>"][-1].score
    assert pipes > 2
    assert f"<low>: {pipes} pipes" in str(FILM)


@pytest.mark.parametrize("games", [{}, {"nothing": []}])
def test_a_film_needs_scenes(games):
    with pytest.raises(ValueError, match="games"):
        bird_film(games)
