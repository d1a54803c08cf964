"""Functions and keywords of SQL that are known to touch no table, no lock and no session state.

Every other function may touch anything.
"""

from __future__ import annotations

FUNCTIONS = frozenset(
    """
    abs array_agg array_append array_cat array_length array_position array_prepend array_remove array_replace
    array_to_json array_to_string array_upper ascii avg bit_and bit_or bool_and bool_or btrim cardinality cbrt ceil
    ceiling char_length character_length chr coalesce concat concat_ws count cume_dist date_part date_trunc dense_rank
    div every exp extract first_value floor format gcd generate_series gen_random_uuid greatest initcap int4range
    int8range isempty json_agg json_array_elements json_array_length json_build_array json_build_object json_object_agg
    jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object
    jsonb_each jsonb_object_agg jsonb_object_keys jsonb_set lag last_value lcm lead least left length ln log lower
    lower_inc lower_inf lpad ltrim make_date make_interval make_timestamp make_timestamptz max md5 min mod mode
    nth_value ntile nullif numrange octet_length overlay percent_rank percentile_cont percentile_disc pi position power
    random range_agg rank regexp_match regexp_matches regexp_replace repeat replace reverse right round row row_number
    row_to_json rpad rtrim sign split_part sqrt starts_with stddev stddev_pop stddev_samp string_agg string_to_array
    strpos substr substring sum to_char to_date to_json to_jsonb to_number translate trim trunc unnest upper upper_inc
    upper_inf var_pop var_samp variance width_bucket
    """.split()  # noqa: SIM905  # more readable than a list of strings
)
# keywords and types that may precede a parenthesis without a call
KEYWORDS = frozenset(
    """
    all and any array as asc between bigint by bit box case char character check conflict cross cube date decimal desc
    distinct else end except exists false filter float for from full grouping group having in inner int int4 int8
    integer intersect interval into is isnull join key lateral left like limit materialized not notnull null numeric of
    offset on only or order outer over partition range recursive returning right rollup rows select set sets similar
    smallint some text then time timestamp timestamptz timetz to true union using uuid values varbit varchar varying
    when where window with within
    """.split()  # noqa: SIM905  # as above
)
READ_CLOCK = frozenset(
    """
    now clock_timestamp statement_timestamp transaction_timestamp timeofday current_timestamp current_date current_time
    localtime localtimestamp
    """.split()  # noqa: SIM905  # as above
)
# functions of the schema chaos that only return facts about their session, or assert
TOOLKIT_FUNCTIONS = frozenset({"assert", "var", "session", "worker", "iteration", "seed"})
