// logprobs: log-softmax of the raw logits of a sequence. Grid: x = sequence s.
// Writes sampled[s, 1] = log-probability (f32 bits) of the token in sampled[s, 0], and for as many of the likeliest
// tokens as the settings ask (at most {{ TOP_MAX }}) their ids from sampled[s, {{ TOP_IDS }}] and their log-probabilities from
// sampled[s, {{ TOP_LOGPROBS }}]; equal ones in order of id. Each invocation remembers the likeliest of its own tokens.
{% from "reduce.wgsl" import reductions %}
{% include "bindings.wgsl" %}

{% include "logits.wgsl" %}

{{ reductions("f32", THREADS, [("highest_of", "max(a, b)"), ("sum_of", "a + b")]) }}
{{ reductions("u32", THREADS, [("lowest_of", "min(a, b)")]) }}
@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let row = group.x * {{ VOCAB }}u;
  let result = group.x * {{ RESULT }}u;
  var best = {{ (2 * LOWEST) | f32 }};
  var best_id = 0xffffffffu;
  for (var v = tid; v < {{ VOCAB }}u; v += {{ THREADS }}u) {
    let logit = finite(logits[row + v]);
    if (logit > best) {
      best = logit;
      best_id = v;
    }
  }
  let highest = highest_of(tid, best);
  var mass = 0.0f;
  for (var v = tid; v < {{ VOCAB }}u; v += {{ THREADS }}u) {
    mass += exp(finite(logits[row + v]) - highest);
  }
  let log_total = highest + log(sum_of(tid, mass));
  if (tid == 0u) {
    let chosen = min(sampled[result], {{ VOCAB - 1 }}u);
    sampled[result + 1u] = bitcast<u32>(finite(logits[row + chosen]) - log_total);
  }

  let wanted = min(sampling[group.x * {{ SETTINGS }}u + 10u], {{ [TOP_MAX, VOCAB] | min }}u);
  for (var i = 0u; i < wanted; i++) {
    let value = highest_of(tid, best);
    let id = lowest_of(tid, select(0xffffffffu, best_id, best == value));
    if (best_id == id) {
      sampled[result + {{ TOP_IDS }}u + i] = id;
      sampled[result + {{ TOP_LOGPROBS }}u + i] = bitcast<u32>(value - log_total);
      // The next likeliest of this invocation's tokens: lower, or as high with a higher id.
      best = {{ (2 * LOWEST) | f32 }};
      best_id = 0xffffffffu;
      for (var v = tid; v < {{ VOCAB }}u; v += {{ THREADS }}u) {
        let logit = finite(logits[row + v]);
        if (logit > best && (logit < value || (logit == value && v > id))) {
          best = logit;
          best_id = v;
        }
      }
    }
  }
}
