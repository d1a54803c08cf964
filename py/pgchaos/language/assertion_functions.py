"""The assertion functions of pgTAP and of the toolkit, and which functions statements create or call."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from pgchaos.language.lexemes import Sql
from pgchaos.language.section_items import Item, Meta, Statement, Variable
from pgchaos.language.sql_tokens import SqlStatement, all_statements, function_calls, token_at, tokenize

# the functions of pgTAP 1.3.5 that print TAP or concern its plan
FUNCTIONS = frozenset(
    """
    add_result alike any_column_privs_are bag_eq bag_has bag_hasnt bag_ne can cast_context_is casts_are
    check_test cmp_ok col_default_is col_has_check col_has_default col_hasnt_default col_is_fk col_is_null
    col_is_pk col_is_unique col_isnt_fk col_isnt_pk col_not_null col_type_is collect_tap column_privs_are
    columns_are composite_owner_is database_privs_are db_owner_is diag do_tap doesnt_imatch doesnt_match
    domain_type_is domain_type_isnt domains_are enum_has_labels enums_are extensions_are fail fdw_privs_are
    finish fk_ok foreign_table_owner_is foreign_tables_are function_lang_is function_owner_is function_privs_are
    function_returns functions_are groups_are has_cast has_check has_column has_composite has_domain has_enum
    has_extension has_fk has_foreign_table has_function has_group has_index has_inherited_tables has_language
    has_leftop has_materialized_view has_opclass has_operator has_pk has_relation has_rightop has_role has_rule
    has_schema has_sequence has_table has_tablespace has_trigger has_type has_unique has_user has_view
    hasnt_cast hasnt_column hasnt_composite hasnt_domain hasnt_enum hasnt_extension hasnt_fk hasnt_foreign_table
    hasnt_function hasnt_group hasnt_index hasnt_inherited_tables hasnt_language hasnt_leftop
    hasnt_materialized_view hasnt_opclass hasnt_operator hasnt_pk hasnt_relation hasnt_rightop hasnt_role
    hasnt_rule hasnt_schema hasnt_sequence hasnt_table hasnt_tablespace hasnt_trigger hasnt_type hasnt_user
    hasnt_view ialike imatches index_is_partial index_is_primary index_is_type index_is_unique index_owner_is
    indexes_are is is_aggregate is_ancestor_of is_clustered is_definer is_descendent_of is_empty is_indexed
    is_member_of is_normal_function is_partition_of is_partitioned is_procedure is_strict is_superuser is_window
    isa_ok isnt isnt_aggregate isnt_ancestor_of isnt_definer isnt_descendent_of isnt_empty isnt_member_of
    isnt_normal_function isnt_partitioned isnt_procedure isnt_strict isnt_superuser isnt_window
    language_is_trusted language_owner_is language_privs_are languages_are lives_ok matches
    materialized_view_owner_is materialized_views_are no_plan ok opclass_owner_is opclasses_are operators_are
    partitions_are pass performs_ok performs_within plan policies_are policy_cmd_is policy_roles_are
    relation_owner_is results_eq results_ne roles_are row_eq rule_is_instead rule_is_on rules_are runtests
    schema_owner_is schema_privs_are schemas_are sequence_owner_is sequence_privs_are sequences_are
    server_privs_are set_eq set_has set_hasnt set_ne skip table_owner_is table_privs_are tables_are
    tablespace_owner_is tablespace_privs_are tablespaces_are throws_ilike throws_imatching throws_like
    throws_matching throws_ok todo todo_end todo_start trigger_is triggers_are type_owner_is types_are unalike
    unialike users_are view_owner_is views_are volatility_is
    """.split()  # noqa: SIM905  # two hundred names are read better without quotes
)
# assertions of the schema chaos that print TAP
TOOLKIT_TAP = frozenset({"unchanged", "eventually", "no_leaks", "blocked_by"})
TOOLKIT = TOOLKIT_TAP | {"assert"}

UNICODE_NAME = '&"'  # U&"\0069s"(…) calls is()

_WORD = re.compile(r"\w+")
_CREATES = re.compile("function|procedure", re.IGNORECASE)


def words_of(text: str) -> list[str]:
    """Return all words of a text in lower case, including those in quotes and comments."""
    return _WORD.findall(text.lower())


def own_functions(statements: Iterable[Sql | Statement]) -> frozenset[str]:
    """Return the functions and procedures that statements create: their names in lower case, without schema."""
    return frozenset().union(*(_created_functions(one.text) for one in statements if one.verb == "CREATE"))


@lru_cache(maxsize=1024)
def _created_functions(text: str) -> frozenset[str]:
    if not _CREATES.search(text):
        return frozenset()
    return frozenset(filter(None, (_created_function(statement) for statement in all_statements(text))))


def _created_function(statement: SqlStatement) -> str:
    """Return the name in CREATE [OR REPLACE] FUNCTION or PROCEDURE, or ''."""
    tokens = statement.tokens
    if statement.verb != "create" or not any(token.is_word("function", "procedure") for token in tokens[1:4]):
        return ""
    opening = next((at for at, token in enumerate(tokens) if token.is_symbol("(")), 0)
    name = token_at(tokens, opening - 1)
    return name.text.lower() if name.is_identifier else ""


@lru_cache(maxsize=1024)
def called_functions(text: str) -> frozenset[str]:
    r"""Return all functions that a statement may call, in lower case, without schema.

    Strings that begin with SELECT are included, because EXECUTE or \gexec may run them.
    """
    found: set[str] = set()
    waiting = [statement.tokens for statement in all_statements(text)]
    while waiting:
        tokens = waiting.pop()
        found.update(call.name.lower() for call in function_calls(tokens))
        strings = (token.text for token in tokens if token.kind == "string")
        waiting += [tuple(tokenize(string)) for string in strings if string.lstrip()[:6].lower() == "select"]
    return frozenset(found)


@lru_cache(maxsize=1024)
def pgtap_calls(text: str) -> frozenset[str]:
    """Return the functions of pgTAP that a statement calls without schema, outside its strings."""
    # a fast test, without tokens, which excludes nearly all statements
    if FUNCTIONS.isdisjoint(words_of(text)) and UNICODE_NAME not in text:
        return frozenset()
    return FUNCTIONS.intersection(call.name.lower() for call in function_calls(tokenize(text)) if not call.schema)


# the search_path: with the schema chaos on it, the toolkit's functions are called without `chaos.`

_SEARCH_PATH = re.compile(r"\bsearch_path\b|\bset\s+(?:(?:session|local)\s+)?schema\b", re.IGNORECASE)
_CHAOS = re.compile(r"\bchaos\b", re.IGNORECASE)


def is_toolkit_on_search_path(statements: Iterable[Sql | Statement], arguments: Iterable[str]) -> bool:
    """Whether a statement sets a search_path with the schema chaos, or with a variable that `arguments` may set so."""
    for one in statements:
        if _SEARCH_PATH.search(one.text) is None:
            continue
        by_variable = any(isinstance(part, Variable) for part in one.parts)
        if _CHAOS.search(one.text) or (by_variable and any(map(_CHAOS.search, arguments))):
            return True
    return False


def command_arguments(items: Iterable[Item]) -> list[str]:
    """Return the arguments of psql's commands, split at their variables."""
    arguments = (argument for item in items if isinstance(item, Meta) for argument in item.args)
    return [part if isinstance(part, str) else part.raw for argument in arguments for part in argument]
