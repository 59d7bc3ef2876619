{# cos and sin of an angle, for scalars or for vectors of four. #}
{% macro turn_functions(type, quarter_turn) %}
{% set words = type.replace("f32", "u32") %}
struct Turn {
  cos: {{ type }},
  sin: {{ type }},
}

// The turn by an angle ≥ 0, to f32 rounding on every adapter: WGSL's own cos and sin promise only 2^-11 within ±π.
// The angle is reduced by quarter turns; products with the first two parts of π/2 are exact (Cody and Waite), then Taylor within ±π/4.
// As fma: Metal compiles with fast math, which would fold three differences into one.
fn turn_by(angle: {{ type }}) -> Turn {
  let n = round(angle * 0.63661977f);
  let r = fma(-n, {{ type }}({{ quarter_turn[2] | f32 }}), fma(-n, {{ type }}({{ quarter_turn[1] | f32 }}), fma(-n, {{ type }}({{ quarter_turn[0] | f32 }}), angle)));
  let s = r * r;
  let c = 1.0f + s * (-0.5f + s * (1.0f / 24.0f + s * (-1.0f / 720.0f + s * (1.0f / 40320.0f))));
  let d = r * (1.0f + s * (-1.0f / 6.0f + s * (1.0f / 120.0f + s * (-1.0f / 5040.0f + s * (1.0f / 362880.0f)))));
  let quarter = {{ words }}(n) & {{ words }}(3u);
  let odd = (quarter & {{ words }}(1u)) == {{ words }}(1u);
  let cosine = select(c, d, odd);
  let sine = select(d, c, odd);
  return Turn(
    select(cosine, -cosine, ((quarter + {{ words }}(1u)) & {{ words }}(2u)) != {{ words }}(0u)),
    select(sine, -sine, quarter >= {{ words }}(2u)),
  );
}
{% endmacro %}
