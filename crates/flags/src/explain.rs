//! Why a subject got what it got: the rules walked once more, by the parts that
//! decide. Slow, and for people who ask.

use serde_json::{Value as Json, json};

use crate::error::At;
use crate::evaluation::{Evaluation, Reason};
use crate::flags::value_of;
use crate::operators::TARGETING_KEY;
use crate::rollout::{Draw, draw};
use crate::{Context, Flags};

/// An answer, and what in the document led to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The answer.
    pub evaluation: Evaluation,
    /// The place that decided, with every `$ref` taken as what it refers to.
    pub path: String,
    /// The percentages on the way there, the outermost first.
    pub draws: Vec<Draw>,
}

/// A way through the rules of one flag for one subject.
struct Walk<'a> {
    key: &'a str,
    context: &'a Context,
    draws: Vec<Draw>,
}

// === impl Flags ===

impl Flags {
    /// The answer of a flag for a subject, and why it is that.
    pub fn explain(&self, key: &str, context: &Context) -> Explanation {
        let evaluation = self.evaluate(key, context);
        let at = At::root().key("flags").key(key);
        let mut walk = Walk { key, context, draws: Vec::new() };
        let rules = self.definition(key).and_then(|flag| flag.rules.as_ref());
        let path = match (evaluation.reason, rules) {
            (Reason::Disabled, _) => at.key("state"),
            (Reason::Error, None) => at,
            (_, Some(rules)) => {
                let decided = walk.follow(&rules.resolved, at.key("targeting"));
                decided.unwrap_or_else(|| at.key("defaultVariant"))
            }
            (_, None) => at.key("defaultVariant"),
        };
        Explanation { evaluation, path: path.into_path(), draws: walk.draws }
    }
}

// === impl Walk ===

impl Walk<'_> {
    /// The place within `node` that decides; none where nothing is chosen.
    fn follow(&mut self, node: &Json, at: At) -> Option<At> {
        if let Some(items) = operands(node, "if") {
            let (n, branch) = self.branch(items)?;
            return self.follow(branch, at.key("if").index(n));
        }
        if let Some(items) = operands(node, "fractional") {
            let n = self.drawn(items)?;
            let at = at.key("fractional").index(n);
            return match items.get(n).and_then(|bucket| bucket.get(0)) {
                Some(rule @ Json::Object(_)) => self.follow(rule, at.index(0)),
                Some(variant) => (!variant.is_null()).then_some(at),
                None => None,
            };
        }
        let chosen = value_of(node, self.key, self.context);
        chosen.filter(|chosen| !chosen.is_null()).map(|_| at)
    }

    /// The branch that is taken, and its place.
    fn branch<'a>(&self, items: &'a [Json]) -> Option<(usize, &'a Json)> {
        for (n, pair) in items.chunks(2).enumerate() {
            match pair {
                [condition, then] => {
                    let holds = json!({"!!": [condition]});
                    if value_of(&holds, self.key, self.context)? == true {
                        return Some((2 * n + 1, then));
                    }
                }
                [otherwise] => return Some((2 * n, otherwise)),
                _ => {}
            }
        }
        None
    }

    /// The bucket that the subject falls into; its place among the operands.
    fn drawn(&mut self, items: &[Json]) -> Option<usize> {
        let (subject, first) = match items.first() {
            Some(rule) if !rule.is_array() => (value_of(rule, self.key, self.context), 1),
            Some(_) | None => (None, 0),
        };
        let subject = match subject.as_ref().and_then(Json::as_str) {
            Some(subject) => subject.to_owned(),
            None => value_of(&own_subject(), self.key, self.context)?.as_str()?.to_owned(),
        };
        let weight = |bucket: &Json| match bucket.get(1) {
            Some(weight) => {
                let weight = value_of(weight, self.key, self.context)?.as_i64()?;
                u32::try_from(weight.max(0)).ok()
            }
            None => Some(1),
        };
        let weights: Option<Vec<u32>> = items.iter().skip(first).map(weight).collect();
        let drawn = draw(&subject, &weights?)?;
        let place = first + drawn.share;
        self.draws.push(drawn);
        Some(place)
    }
}

fn operands<'a>(node: &'a Json, operator: &str) -> Option<&'a [Json]> {
    node.as_object()?.get(operator)?.as_array().map(Vec::as_slice)
}

/// What percentages are drawn by where the rules do not say.
fn own_subject() -> Json {
    json!({"if": [{"var": TARGETING_KEY}, {"cat": [{"var": "$flagd.flagKey"}, {"var": TARGETING_KEY}]}]})
}
