// attention_merge: y[s, h] from the parts that attention_partial left of sequence s: pieces work_rows[s] .. work_rows[s + 1].
// Grid: x = {{ THREADS }} quads of columns, over all heads, y = sequence. An invocation weighs the parts of its quad by
// exp(their highest score - the highest of all).
{% include "bindings.wgsl" %}

{% set QUADS = D // 4 %}
@compute @workgroup_size({{ THREADS }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = group.x * {{ THREADS }}u + tid;
  if (i >= {{ H * QUADS }}u) {
    return;
  }
  let head = i / {{ QUADS }}u;
  let first = u32(work_rows[group.y]);
  let end = u32(work_rows[group.y + 1u]);
{% if sinks %}
  let sink = sinks[head];
  var highest = sink;
{% else %}
  var highest = -3.0e38f;
{% endif %}
  for (var w = first; w < end; w++) {
    highest = max(highest, scratch0[(w * {{ H }}u + head) * {{ QUADS + 1 }}u + {{ QUADS }}u].x);
  }
{% if sinks %}
  var total = exp(sink - highest);
{% else %}
  var total = 0.0f;
{% endif %}
  var sum = vec4<f32>();
  for (var w = first; w < end; w++) {
    let part = (w * {{ H }}u + head) * {{ QUADS + 1 }}u;
    let state = scratch0[part + {{ QUADS }}u];
    let share = exp(state.x - highest);
    total += share * state.y;
    sum += share * scratch0[part + i % {{ QUADS }}u];
  }
  y[group.y * {{ H * QUADS }}u + i] = sum / total;
}
