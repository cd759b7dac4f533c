"""What is in force after promotions of whole models and of styles, the gate's word, overriding it, shadows."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from inspection.errors import SettingsError, StorageError
from retraining.after import apply_policy
from storage.gates import RuleResult, latest_gate, latest_gates, save_gate
from storage.model_policy import ModelPolicy, ShadowPlan, SpeedRule, parse_policy, read_policy, set_policy
from storage.registry import get_model, import_bundle, in_force, objection, promote, rollback, running_model
from storage.shadow import (
    Apart,
    Comparison,
    alarms_apart,
    list_shadows,
    running_shadow,
    shadow_figures,
    start_shadow,
    stop_shadow,
    store_comparison,
)
from storage.tables import AuditRow, PromotionRow
from tests.records import LENGTH_MM, make_bundle, make_header

pytestmark = pytest.mark.integration
PLAN = ShadowPlan(share=0.5, budget=0.2, metres=3 * LENGTH_MM / 1000)


@pytest.fixture
def models(database, tmp_path):
    """Four models of two styles; d was trained for denim."""
    for name in ("a", "b", "c", "d"):
        styles = {"twill": {"threshold": 0.5}, "denim": {"threshold": 0.6}}
        provenance = {"style": "denim" if name == "d" else ""}
        bundle = make_bundle(
            tmp_path / f"bundle-{name}", name, weights=name.encode(), styles=styles, provenance=provenance
        )
        source = "retrained" if name == "c" else "imported"
        import_bundle(database, bundle, tmp_path / "models", source=source, by="eva")
    return database


def now(database):
    force = in_force(database)
    assert force is not None
    return force.model.name, {style: model.name for style, model in force.styles.items()}


def rule(verdict="passed", words="fine"):
    return RuleResult(rule="recall", style="", verdict=verdict, value=1.0, limit=1.0, words=words)


def test_one_style_is_promoted_by_itself_and_rolled_back_by_itself(models):
    promote(models, "a", by="eva")
    promote(models, "b", by="eva", style="denim", reason="the new yarn")
    assert now(models) == ("a", {"denim": "b"})
    assert get_model(models, "b").styles == ("denim",)
    assert running_model(models).name == "a"
    assert [model.name for model in in_force(models).models] == ["a", "b"]
    assert rollback(models, by="max", reason="false alarms").name == "a"
    assert now(models) == ("a", {})
    assert [model.name for model in in_force(models).former] == []
    with models.reading() as session:
        act = session.scalars(select(PromotionRow).order_by(PromotionRow.id.desc())).first()
        assert (act.action, act.style, act.reason) == ("rollback", "denim", "false alarms")


def test_a_whole_model_takes_over_from_those_of_single_styles_and_gives_back_all_of_them(models):
    promote(models, "a", by="eva")
    promote(models, "b", by="eva", style="denim")
    promote(models, "b", by="eva")
    assert now(models) == ("b", {})
    assert [model.name for model in in_force(models).former] == ["a"]
    rollback(models, by="eva")
    assert now(models) == ("a", {"denim": "b"})


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(st.tuples(st.sampled_from("abr"), st.sampled_from(["", "twill", "denim"])), max_size=12))
def test_any_order_of_acts_ends_as_a_plain_stack_says(models, acts):
    with models.session() as session:
        session.execute(delete(PromotionRow))
    stack: list[tuple[str, dict[str, str]]] = []
    for name, style in [("a", ""), *acts]:
        if name == "r":
            if len(stack) > 1:
                stack.pop()
                rollback(models, by="eva")
            continue
        promote(models, name, by="eva", style=style)
        wanted = (name, {}) if not style else (stack[-1][0], {**stack[-1][1], style: name})
        same = bool(stack) and (wanted == stack[-1] or (style and stack[-1][1].get(style, stack[-1][0]) == name))
        if not same:
            stack.append(wanted)
    assert now(models) == stack[-1]


def test_a_style_needs_a_model_that_knows_it_and_one_in_charge(models):
    with pytest.raises(StorageError, match="no model is in charge yet"):
        promote(models, "a", by="eva", style="twill")
    promote(models, "a", by="eva")
    with pytest.raises(StorageError, match="does not know style satin: it knows twill, denim"):
        promote(models, "b", by="eva", style="satin")


def test_a_style_is_not_promoted_from_a_model_of_other_tiles(models, tmp_path):
    promote(models, "a", by="eva")
    bundle = make_bundle(tmp_path / "wide", "wide", tile_px=128)
    import_bundle(models, bundle, tmp_path / "models", source="imported", by="eva")
    with pytest.raises(StorageError, match="tile_px 128, the one in charge 64"):
        promote(models, "wide", by="eva", style="twill")


def test_a_failed_gate_is_overridden_only_with_a_reason_and_that_is_audited(models):
    promote(models, "a", by="eva")
    save_gate(models, model="b", against="a", rules=[rule("failed", "finds 8 of 10")], by="eva")
    with pytest.raises(StorageError, match="model b failed the gate: finds 8 of 10; or override it with a reason"):
        promote(models, "b", by="eva")
    with pytest.raises(StorageError, match="takes a reason"):
        promote(models, "b", by="eva", override=True, reason=" ")
    assert now(models) == ("a", {})
    promote(models, "b", by="eva", override=True, reason="the two are stains of the camera")
    with models.reading() as session:
        row = session.scalars(select(AuditRow).where(AuditRow.action == "model.promote").order_by(AuditRow.id)).all()[
            -1
        ]
    assert row.detail["override"] == "model b failed the gate: finds 8 of 10"
    assert row.detail["reason"] == "the two are stains of the camera"


def test_what_a_retraining_made_waits_for_the_gate_beside_the_running_model(models):
    promote(models, "a", by="eva")
    with pytest.raises(StorageError, match="no gate has compared model c with a: run loomwatch models gate c"):
        promote(models, "c", by="eva")
    save_gate(models, model="c", against="a", rules=[rule()], by="eva")
    promote(models, "b", by="eva")
    with pytest.raises(StorageError, match="no gate has compared model c with b"):
        promote(models, "c", by="eva")
    save_gate(models, model="c", against="b", rules=[rule(), rule("unjudged")], by="eva")
    promote(models, "c", by="eva")
    rollback(models, by="eva")
    promote(models, "c", by="eva")  # it ran before
    assert now(models) == ("c", {})


def test_a_whole_model_takes_no_style_away_without_a_reason(models, tmp_path):
    promote(models, "a", by="eva")
    styles = {"twill": {"threshold": 0.5}, "satin": {"threshold": 0.6}}
    import_bundle(
        models, make_bundle(tmp_path / "s", "s", styles=styles), tmp_path / "models", source="added", by="eva"
    )
    with pytest.raises(StorageError, match="model s does not know denim: promote it for single styles; or override"):
        promote(models, "s", by="eva")
    assert objection(models, "s", style="satin") == ""
    promote(models, "s", by="eva", style="satin")
    assert objection(models, "a") == "model a does not know satin: promote it for single styles"  # though it ran
    save_gate(models, model="b", against="a", rules=[rule("failed", "slow")], by="eva")
    both = "model b failed the gate: slow; model b does not know satin: promote it for single styles"
    assert objection(models, "b") == both
    promote(models, "b", by="eva", override=True, reason="satin is not made any more")
    assert now(models) == ("b", {})
    rollback(models, by="eva")
    assert now(models) == ("a", {"satin": "s"})


def test_a_gate_is_kept_with_its_model(models):
    assert latest_gate(models, "b") is None
    promote(models, "a", by="eva")
    save_gate(models, model="b", against="a", rules=[rule("failed")], by="eva")
    kept = save_gate(models, model="b", against="a", rules=[rule(), rule("unjudged")], by="max")
    assert latest_gate(models, "b") == kept
    assert (kept.verdict, kept.whole, kept.failed) == ("passed", False, [])
    assert set(latest_gates(models)) == {"b"}


def test_the_policy_is_the_default_until_it_is_set_and_a_wrong_one_is_refused(models, tmp_path):
    assert read_policy(models) == ModelPolicy()
    policy = ModelPolicy(rules=(SpeedRule(slower=0.2),), promotion="gate")
    set_policy(models, policy, by="eva")
    assert read_policy(models) == policy
    file = tmp_path / "policy.json"
    for text, words in (
        ("{", "cannot be read as JSON"),
        ('{"rules": [{"kind": "speed", "slower": 2}]}', "slower"),
        ('{"rules": [{"kind": "beauty"}]}', "beauty"),
        ('{"rules": [{"kind": "parity"}, {"kind": "parity"}]}', "given once"),
    ):
        file.write_text(text)
        with pytest.raises(SettingsError, match=words):
            parse_policy(file)


# --- shadow ----------------------------------------------------------------------------------------------------------


def comparison(sequence, both=0, running=0, candidate=0, style="twill"):
    apart = tuple(
        Apart(side="candidate", camera="camera-1", style=style, x_mm=1, y_mm=2, strength=3, crop="k", heat="")
        for _ in range(candidate)
    )
    return Comparison(
        header=make_header(sequence), style=style, both=both, only_running=running, only_candidate=candidate,
        spent_ms=10, apart=apart,
    )  # fmt: skip


@pytest.fixture
def gated(models):
    promote(models, "a", by="eva")
    for name in ("b", "d"):
        save_gate(models, model=name, against="a", rules=[rule()], by="eva")
    return models


def test_only_a_model_that_passed_beside_the_running_one_is_a_shadow(models):
    with pytest.raises(StorageError, match="no model is in charge"):
        start_shadow(models, "b", PLAN, by="eva")
    promote(models, "a", by="eva")
    with pytest.raises(StorageError, match="has not passed the gate"):
        start_shadow(models, "b", PLAN, by="eva")
    save_gate(models, model="b", against="a", rules=[rule("failed")], by="eva")
    with pytest.raises(StorageError, match="has not passed the gate"):
        start_shadow(models, "b", PLAN, by="eva")
    with pytest.raises(StorageError, match="in charge already"):
        start_shadow(models, "a", PLAN, by="eva")


def test_a_shadow_is_done_after_its_metres_and_its_figures_add_up(gated):
    shadow = start_shadow(gated, "b", PLAN, by="eva")
    with pytest.raises(StorageError, match="model b runs as shadow: stop it first"):
        start_shadow(gated, "b", PLAN, by="eva")
    assert running_shadow(gated) == shadow
    assert store_comparison(gated, shadow, comparison(0, both=3, running=1))
    assert store_comparison(gated, shadow, comparison(0, both=3, running=1))  # the same frame, sent twice
    assert store_comparison(gated, shadow, comparison(1, both=1, candidate=2, style="denim"))
    assert not store_comparison(gated, shadow, comparison(2))
    whole, denim, twill = shadow_figures(gated, shadow.id)
    assert (whole.frames, whole.both, whole.only_running, whole.only_candidate) == (3, 4, 1, 2)
    assert whole.metres == pytest.approx(3 * LENGTH_MM / 1000)
    assert whole.agreement == pytest.approx(4 / 7)
    assert (denim.style, denim.agreement, twill.agreement) == ("denim", pytest.approx(1 / 3), pytest.approx(3 / 4))
    assert len(alarms_apart(gated, shadow.id)) == 2
    assert running_shadow(gated) is None
    assert list_shadows(gated)[0].state == "done"
    assert now(gated) == ("a", {})  # nothing takes over by itself


def test_a_shadow_ends_when_another_model_comes_in_charge_and_the_next_one_may_begin(gated):
    shadow = start_shadow(gated, "b", PLAN, by="eva")
    save_gate(gated, model="c", against="a", rules=[rule()], by="eva")
    promote(gated, "c", by="eva", style="denim")  # twill and all else stay with a
    assert running_shadow(gated) == shadow
    promote(gated, "c", by="eva")
    assert running_shadow(gated) is None
    assert not store_comparison(gated, shadow, comparison(0))
    ended = list_shadows(gated)[0]
    assert (ended.state, ended.message) == ("stopped", "another model came in charge")
    save_gate(gated, model="b", against="c", rules=[rule()], by="eva")
    start_shadow(gated, "b", PLAN, by="eva")
    rollback(gated, by="eva")
    assert [each.state for each in list_shadows(gated)] == ["stopped", "stopped"]
    start_shadow(gated, "d", PLAN, by="eva")
    promote(gated, "d", by="eva", style="denim")
    assert list_shadows(gated)[0].message == "it came in charge itself"


def test_a_shadow_is_stopped(gated):
    start_shadow(gated, "b", PLAN, by="eva")
    assert stop_shadow(gated, by="max").state == "stopped"
    with pytest.raises(StorageError, match="no model runs as shadow"):
        stop_shadow(gated, by="max")


ONE_FRAME = PLAN.model_copy(update={"metres": LENGTH_MM / 1000})
BY_SHADOW = ModelPolicy(promotion="shadow", agreement=0.9)


@pytest.mark.parametrize(
    ("both", "candidate", "running", "words"),
    [
        (9, 1, "b", "90 % of the alarms the same: promoted by rule"),
        (8, 2, "a", "80 % of the alarms the same, 90 % at least are asked for: not promoted"),
        (0, 0, "b", "no alarm by either: promoted by rule"),
    ],
)
def test_by_rule_a_shadow_that_agrees_takes_over_and_one_that_does_not_stays(gated, both, candidate, running, words):
    set_policy(gated, BY_SHADOW, by="eva")
    shadow = start_shadow(gated, "b", ONE_FRAME, by="rule")
    assert not store_comparison(gated, shadow, comparison(0, both=both, candidate=candidate))
    assert now(gated) == (running, {})
    (ended,) = list_shadows(gated)
    assert (ended.state, ended.message) == ("done", f"0.0 m were compared, {words}")


def test_by_rule_a_model_that_was_trained_for_one_style_takes_over_for_that_one_alone(gated):
    set_policy(gated, BY_SHADOW, by="eva")
    assert start_shadow(gated, "d", ONE_FRAME, by="rule").style == "denim"
    store_comparison(gated, running_shadow(gated), comparison(0, both=1, style="denim"))
    assert now(gated) == ("a", {"denim": "d"})
    rollback(gated, by="eva")
    set_policy(gated, ModelPolicy(promotion="gate"), by="eva")
    assert apply_policy(gated, latest_gate(gated, "d")) == "model d passed the gate and is promoted by rule for denim"
    assert now(gated) == ("a", {"denim": "d"})


def test_by_rule_a_shadow_says_why_it_could_not_take_over(gated, tmp_path):
    set_policy(gated, BY_SHADOW, by="eva")
    shadow = start_shadow(gated, "b", ONE_FRAME, by="rule")
    (tmp_path / "models" / "b" / "weights.safetensors").write_bytes(b"damaged")
    store_comparison(gated, shadow, comparison(0, both=1))
    assert now(gated) == ("a", {})
    (ended,) = list_shadows(gated)
    assert ended.state == "done"
    assert "not promoted: bundle" in ended.message
