{# Four neighbouring invocations of a subgroup are a team: subgroups have at least 4, so none is cut. #}
{% macro team_sum() %}
fn team_sum(mine: f32) -> f32 {
  let pair = mine + subgroupShuffleXor(mine, 1u);
  return pair + subgroupShuffleXor(pair, 2u);
}
{% endmacro %}
{% macro team_sums() %}
// Member m gets the team's sum of component m: fewer exchanges than four sums, and scores that no two invocations share.
fn team_sums(mine: vec4<f32>, member: u32) -> f32 {
  let odd = (member & 1u) == 1u;
  let pair = select(mine.xz, mine.yw, odd) + subgroupShuffleXor(select(mine.yw, mine.xz, odd), 1u);
  let upper = member >= 2u;
  return select(pair.x, pair.y, upper) + subgroupShuffleXor(select(pair.y, pair.x, upper), 2u);
}
{% endmacro %}
