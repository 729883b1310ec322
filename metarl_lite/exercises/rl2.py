"""Exercises of chapter 11, RL²."""

import numpy as np

from metarl_lite.exercises.exercise import Exercise, Mutant


def told(action, reward, begins, num_actions):
    """Return (task, actions + 2): the last action one-hot, the last reward, an episode's start."""
    return np.column_stack([np.eye(num_actions)[action], reward, begins])


def _steps(rng):
    for tasks in (3, 6):
        action = rng.permutation(np.arange(tasks) % 4)
        yield action, rng.normal(size=tasks), np.arange(tasks) % 2 == 0, 4


q1 = Exercise(
    title="What the network is told",
    stub=lambda action, reward, begins, num_actions: None,
    answer=told,
    why="An action is a name, not a size: it gets a column of its own. The others are numbers.",
    hints=(
        "Row k of the identity matrix, `np.eye(num_actions)[k]`, is action k one-hot.",
        "Indexing works for all tasks at once: `np.eye(num_actions)[action]` is (task, actions).",
        "`np.column_stack` puts a matrix and two vectors side by side.",
    ),
    mutants=(
        Mutant(
            lambda action, reward, begins, num_actions: np.column_stack([action, reward, begins]),
            "The action is one number here, as if action 3 were three times action 1: one-hot it.",
        ),
        Mutant(
            lambda action, reward, begins, num_actions: told(
                action, 0 * reward, begins, num_actions
            ),
            "The reward is missing: nothing tells the network whether its last action was good.",
        ),
        Mutant(
            lambda action, reward, begins, num_actions: told(action, reward, ~begins, num_actions),
            "The flag is upside down: 1 says that an episode begins, 0 that it goes on.",
        ),
        Mutant(
            lambda action, reward, begins, num_actions: np.column_stack(
                [reward, np.eye(num_actions)[action], begins]
            ),
            "All is there, in another order: first the action, then the reward, then the flag.",
        ),
    ),
    cases=_steps,
)


def gain_of_trying(p, pulls, gamma):
    """Return what one pull of the unknown arm, then the better of the two, adds to staying."""
    later = sum(gamma**t for t in range(1, pulls))
    trying = 0.5 * (1 + later * max(2 / 3, p)) + 0.5 * later * max(1 / 3, p)
    return trying - p * (1 + later)


def _known_arms(rng):
    for pulls in (1, 2, 20):
        yield float(rng.uniform(0.55, 0.65)), pulls, 0.9
    yield 0.2, 5, 1.0
    yield 0.8, 5, 1.0


def _without_going_back(p, pulls, gamma):
    later = sum(gamma**t for t in range(1, pulls))
    return 0.5 * (1 + later * 2 / 3) + 0.5 * later * 1 / 3 - p * (1 + later)


def _without_learning(p, pulls, gamma):
    later = sum(gamma**t for t in range(1, pulls))
    return 0.5 + later * max(0.5, p) - p * (1 + later)


q2 = Exercise(
    title="What is trying worth?",
    stub=lambda p, pulls, gamma: None,
    answer=gain_of_trying,
    why="One pull costs p - 1/2 at once; after a success the new arm is worth 2/3, else 1/3.",
    hints=(
        "The first pull of the unknown arm succeeds with probability 1/2.",
        "After a success its mean is 2/3, after a failure 1/3; then take the better arm for good.",
        "The later pulls weigh gamma + gamma^2 + ..., `pulls - 1` terms; staying pays p each time.",
    ),
    mutants=(
        Mutant(
            lambda p, pulls, gamma: gain_of_trying(p, pulls, 1.0),
            "The discount is missing: a reward t pulls later counts gamma^t.",
        ),
        Mutant(
            _without_going_back,
            "After a failure this stays with the unknown arm: it may go back to the known one.",
        ),
        Mutant(
            _without_learning,
            "This learns nothing from the pull: after a success the mean is 2/3, no longer 1/2.",
        ),
        Mutant(
            lambda p, pulls, gamma: (
                gain_of_trying(p, pulls, gamma) + p * sum(gamma**t for t in range(pulls))
            ),
            "This is the value of trying; subtract what staying with the known arm pays.",
        ),
    ),
    cases=_known_arms,
)


def carried_states(inputs, weight_in, weight_state, episode_begins, trial_begins):
    """Return states (time, task, hidden), emptied where a trial begins and nowhere else."""
    state, states = np.zeros((inputs.shape[1], len(weight_state))), []
    for x, begins in zip(inputs, trial_begins, strict=True):
        state = np.where(begins[:, None], 0.0, state)
        state = np.tanh(x @ weight_in + state @ weight_state)
        states.append(state)
    return np.array(states)


def _two_trials(rng):
    for time in (6, 12):
        trial_begins = np.zeros((time, 3), dtype=bool)
        trial_begins[0] = True
        trial_begins[time // 2, :2] = True  # the third task's trial goes on
        episode_begins = trial_begins.copy()
        episode_begins[::3] = True
        weight_in, weight_state = rng.normal(size=(2, 4)), rng.normal(size=(4, 4))
        yield rng.normal(size=(time, 3, 2)), weight_in, weight_state, episode_begins, trial_begins


def _emptied_too_late(inputs, weight_in, weight_state, episode_begins, trial_begins):
    late = np.roll(trial_begins, 1, axis=0)
    return carried_states(inputs, weight_in, weight_state, episode_begins, late)


q3 = Exercise(
    title="Repair an RL² that forgets",
    stub=lambda inputs, weight_in, weight_state, episode_begins, trial_begins: None,
    answer=carried_states,
    why="What an episode taught is of use in the next one; a new trial is a new task.",
    hints=(
        "What should the agent still know when the next episode of the same task begins?",
        "Only `trial_begins` may empty it, task by task: `np.where(begins[:, None], 0, state)`.",
        "Empty it before the new input comes in, not after.",
    ),
    mutants=(
        Mutant(
            lambda inputs, weight_in, weight_state, episode_begins, trial_begins: carried_states(
                inputs, weight_in, weight_state, episode_begins, episode_begins
            ),
            "The bug is still there: the state is emptied at every episode, in mid-trial.",
        ),
        Mutant(
            lambda inputs, weight_in, weight_state, episode_begins, trial_begins: carried_states(
                inputs, weight_in, weight_state, episode_begins, trial_begins & False
            ),
            "The state is never emptied: a new task begins with memories of the old one.",
        ),
        Mutant(
            lambda inputs, weight_in, weight_state, episode_begins, trial_begins: carried_states(
                inputs, weight_in, weight_state, episode_begins, np.ones_like(trial_begins)
            ),
            "The state is emptied at every step: nothing is ever remembered.",
        ),
        Mutant(
            _emptied_too_late,
            "The state is emptied one step late: the trial's first input is lost again.",
        ),
        Mutant(
            lambda inputs, weight_in, weight_state, episode_begins, trial_begins: carried_states(
                inputs,
                weight_in,
                weight_state,
                episode_begins,
                np.broadcast_to(trial_begins.any(axis=1, keepdims=True), trial_begins.shape),
            ),
            "One task's new trial empties the states of all tasks: decide for each by itself.",
        ),
    ),
    cases=_two_trials,
)

BUGS = {
    3: "Line 3 is right: every iteration draws fresh tasks.",
    6: "Line 6 is right: an empty state before a new trial.",
    9: "Line 9 is right: what the network is told is the last action and the last reward.",
    14: "Line 14 is right: what all tasks have in common at a time is no merit of an action.",
    18: "Line 18 looks at the whole sequences in `batch`; look at how the batch was made.",
}

q4 = Exercise(
    title="Find the bug: memory that training takes apart",
    stub=...,
    answer=17,
    why="Line 17 draws single steps; a recurrent network needs its sequences whole and in order.",
    hints=(
        "The rollout is right. What does the recurrent network get to see in the update?",
        "A minibatch may leave out tasks. May it leave out times?",
        "Which line shuffles time along with the tasks?",
    ),
    mutants=tuple(Mutant(line, diagnosis) for line, diagnosis in BUGS.items()),
)


def _discount_problem(gamma):
    """Return what is wrong with `gamma` as the edge below which nobody tries the new arm."""
    gamma = float(gamma)
    if not 0 <= gamma < 1:
        return f"A discount lies between 0 and 1, and here below 1: {gamma}."
    gain = gain_of_trying(0.6, 100, gamma)
    if gain > 1e-9:
        return f"At {gamma} trying still pays: it gains {gain:.3f}."
    if gain < -0.01:
        return f"At {gamma} trying does not pay, by {-gain:.3f}, but a larger discount would do."
    return None


q5 = Exercise(
    title="Break it: the discount that kills exploration",
    stub=...,
    answer=0.75,
    why="Trying costs 0.1 now and gains 1/30 a pull: the later pulls must weigh 3 or less.",
    hints=(
        "With your function of exercise 2: where does the gain for p = 0.6 change its sign?",
        "It gains (2/3 - 0.6) / 2 = 1/30 on each later pull, and costs 0.6 - 0.5 at once.",
        "gamma + gamma^2 + ... = gamma / (1 - gamma) must not exceed 3.",
    ),
    mutants=(
        Mutant(0.95, "That is the discount this chapter trains with: there, trying pays."),
        Mutant(0.0, "Nobody explores at 0, but look for the edge: the largest such discount."),
        Mutant(1.0, "Without a discount a hundred pulls make trying worthwhile: go down."),
    ),
    behaviour=_discount_problem,
)
