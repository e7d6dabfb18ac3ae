"""What follows from what became of steps: the same, whatever order they ended in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atelier.catalog import runtime, seed_content
from atelier.contracts.queues import WORKFLOW
from atelier.generation import story, workflow
from atelier.generation.workflow import Order, Seen, Step, Work
from atelier.jobs import states
from atelier.providers import schemas
from tests.bounds import examples

AGENTS = {agent.id: agent for agent in seed_content.AGENTS}


def nothing(_order: Order, _made: workflow.Made) -> Work:
    return Work(prompt="")


@st.composite
def graphs(draw: st.DrawFn) -> list[Step]:
    """Up to seven steps, each after some of those before it; the last one is required."""
    number = draw(st.integers(1, 7))
    return [
        Step(
            name=f"s{index}",
            agent_id="",
            make=nothing,
            after=tuple(f"s{before}" for before in range(index) if draw(st.booleans())),
            required=draw(st.booleans()) or index == number - 1,
            weight=draw(st.integers(1, 5)),
        )
        for index in range(number)
    ]


def ended(steps: list[Step], fates: dict[str, str], data: st.DataObject) -> tuple[str | None, dict[str, Seen]]:
    """Start what may be, end one running step after the other in a drawn order, until it is over."""
    seen: dict[str, Seen] = {}
    shown = [0.0]
    while True:
        decision = workflow.decide(steps, seen)
        if decision.over:
            return decision.over, seen
        seen |= {step.name: Seen(state=states.RUNNING) for step in decision.start}
        assert not workflow.decide(steps, seen).start, "what was started is not started again"
        running = sorted(name for name, one in seen.items() if one.alive)
        assert running, "nothing runs, and it is not over"
        name = data.draw(st.sampled_from(running))
        seen[name] = Seen(state=fates[name])
        shown.append(workflow.progress(steps, seen))
        assert shown == sorted(shown)


@settings(max_examples=examples(80))
@given(steps=graphs(), data=st.data())
def test_any_order_of_ends_gives_the_same(steps: list[Step], data: st.DataObject) -> None:
    fate = st.sampled_from([states.COMPLETED, states.COMPLETED, states.FAILED])
    fates = {step.name: data.draw(fate) for step in steps}
    runs = [ended(steps, fates, data) for _ in range(3)]
    assert len({over for over, _ in runs}) == 1
    required = {step.name for step in steps if step.required}
    if runs[0][0] == states.COMPLETED:
        assert len({tuple(sorted((name, one.state) for name, one in seen.items())) for _, seen in runs}) == 1
        for _, seen in runs:
            assert seen.keys() == fates.keys()
            assert {seen[name].state for name in required} == {states.COMPLETED}
    else:
        for _, seen in runs:
            assert any(seen[name].state == states.FAILED for name in required & seen.keys())


def test_a_canceled_step_fails_what_needs_it() -> None:
    steps = [Step(name="only", agent_id="", make=nothing)]
    decision = workflow.decide(steps, {"only": Seen(state=states.CANCELED)})
    assert (decision.over, decision.error_code) == (states.FAILED, workflow.STEP_CANCELED)


# -- the story


def order(**config: object) -> Order:
    return Order(input={"prompt": "松鼠的秋天"}, config={**schemas.STORY.defaults, **config})


def made_of(step: Step) -> list[dict[str, object]]:
    if step.name == "captions":
        return [
            {
                "type": "text",
                "text": "# 秋天\n\n## 1. 清晨\n\n松鼠醒来。\n\n## 2. 林间\n\n它找松果。\n\n## 3. 傍晚\n\n它回家。\n",
            }
        ]
    kind = AGENTS[step.agent_id].kind
    return [{"type": kind, "key": f"outputs/{step.name}", "contentType": kind, "metadata": {"durationSeconds": 4.0}}]


@pytest.mark.parametrize("audio", ["music", "speech", "none"])
@pytest.mark.parametrize("scenes", [2, 3, 6])
@pytest.mark.parametrize("seed", [None, 2**31 - 1])
def test_every_step_of_a_story_is_what_its_agent_takes(audio: str, scenes: int, seed: int | None) -> None:
    asked = order(audio=audio, scenes=scenes, **({} if seed is None else {"seed": seed}))
    steps = story.STORY_VIDEO.steps(asked)
    made: workflow.Made = {}
    for step in steps:
        assert {*step.after} <= made.keys(), "steps come after what they need"
        agent = AGENTS[step.agent_id]
        assert agent.provider != WORKFLOW, "one that waits for another of its own kind might wait for ever"
        work = step.make(asked, made)
        runnable = _runnable(agent)
        runtime.validate(runnable, input_data={"prompt": work.prompt}, config=dict(work.config))
        made = {**made, step.name: made_of(step)}
    cut = steps[-1].make(asked, made)
    assert [one["key"] for one in cut.sources["images"]] == [f"outputs/image-{n}" for n in range(1, scenes + 1)]
    assert ("audio" in cut.sources) == (audio != "none")
    assert steps[-1].required


def test_a_film_without_its_sound_is_silent() -> None:
    asked = order(scenes=2)
    steps = story.STORY_VIDEO.steps(asked)
    made = {step.name: made_of(step) for step in steps[:-1] if step.name != "sound"}
    assert "audio" not in steps[-1].make(asked, made).sources


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("## 1. Dawn\n\nIt wakes.\n\n## 2. Noon\n\nIt eats.\n", ["Dawn", "Noon", "Dawn"]),
        ("One line\nAnother line", ["One line", "Another line", "One line"]),
        ("", ["", "", ""]),
    ],
)
def test_captions_of_whatever_was_written(text: str, titles: list[str]) -> None:
    assert [title for title, _ in story.captions(text, count=3)] == titles


def _runnable(agent: seed_content.SeedAgent) -> runtime.RunnableAgent:
    content = agent.content
    return runtime.RunnableAgent(
        agent_id=agent.id,
        version=1,
        slug=agent.slug,
        name=agent.name,
        creator_id=seed_content.HOUSE_ID,
        status="published",
        kind=agent.kind,
        price_type="pay_per_use",
        credits_per_use=agent.credits_per_use,
        provider=agent.provider,
        model=agent.model,
        prompt_template="{{prompt}}",
        parameter_mapping={},
        input_schema=content.input_schema,
        config_schema=content.config_schema,
        default_config=content.default_config,
    )
