//! The cases of graphql-js' `VariablesInAllowedPositionRule`, on the part of its test schema that they
//! use, and some of the document's own bounds. Those of fragments with arguments are left out, which
//! are no part of the specification.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use async_graphql::{
    EmptyMutation, EmptySubscription, InputObject, Json, Object, OneofObject, Schema, SchemaEnv,
};
use futures_util::FutureExt as _;

use super::*;
use crate::config::QueryLimits;
use crate::graphql::Guard;
use crate::graphql::validation::{MAX_STEPS, NothingRuns};

#[derive(InputObject)]
#[expect(
    clippy::struct_field_names,
    reason = "the names are those of graphql-js"
)]
struct ComplexInput {
    required_field: bool,
    #[graphql(default = false)]
    non_null_field: bool,
    string_list_field: Option<Vec<Option<String>>>,
}

#[derive(OneofObject)]
enum OneOfInput {
    StringField(String),
    IntField(i32),
}

struct ComplicatedArgs;

#[Object]
impl ComplicatedArgs {
    async fn int_arg_field(&self, int_arg: Option<i32>) -> bool {
        int_arg.is_some()
    }
    async fn non_null_int_arg_field(&self, non_null_int_arg: i32) -> i32 {
        non_null_int_arg
    }
    async fn boolean_arg_field(&self, boolean_arg: Option<bool>) -> bool {
        boolean_arg.is_some()
    }
    async fn string_list_arg_field(&self, string_list_arg: Option<Vec<Option<String>>>) -> bool {
        string_list_arg.is_some()
    }
    async fn string_list_non_null_arg_field(
        &self,
        string_list_non_null_arg: Option<Vec<String>>,
    ) -> bool {
        string_list_non_null_arg.is_some()
    }
    async fn complex_arg_field(&self, complex_arg: Option<ComplexInput>) -> bool {
        complex_arg.is_some_and(|one| {
            one.required_field && one.non_null_field && one.string_list_field.is_some()
        })
    }
    async fn one_of_arg_field(&self, one_of_arg: Option<OneOfInput>) -> usize {
        match one_of_arg {
            Some(OneOfInput::StringField(text)) => text.len(),
            Some(OneOfInput::IntField(number)) => number.unsigned_abs() as usize,
            None => 0,
        }
    }
    async fn non_null_field_with_default(
        &self,
        #[graphql(default = 0)] non_null_int_arg: i32,
    ) -> i32 {
        non_null_int_arg
    }
}

struct Dog;

#[Object]
impl Dog {
    async fn distance_from(&self, loc: Json<serde_json::Value>) -> bool {
        loc.0.is_null()
    }
}

struct Query;

#[Object]
impl Query {
    async fn dog(&self) -> Dog {
        Dog
    }
    async fn complicated_args(&self) -> ComplicatedArgs {
        ComplicatedArgs
    }
}

fn types() -> SchemaEnv {
    let types: Arc<OnceLock<SchemaEnv>> = Arc::default();
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription)
        .extension(NothingRuns(Arc::clone(&types)))
        .finish();
    schema.execute("{ __typename }").now_or_never().unwrap();
    types.get().unwrap().clone()
}

/// A message, and the lines and columns of its places.
type Found = (String, Vec<(usize, usize)>);

fn findings(types: &SchemaEnv, text: &str) -> Findings {
    let limits = QueryLimits {
        max_bytes: 1 << 20,
        max_tokens: 100_000,
        ..QueryLimits::default()
    };
    let guard = Guard::new(limits, "type Query { a: Int }", true);
    let checked = guard.check(text).unwrap();
    let mut findings = Findings::default();
    find(&types.registry, &checked, &mut findings);
    findings
}

fn found(types: &SchemaEnv, text: &str) -> Vec<Found> {
    let places = |error: &ServerError| {
        let places = error.locations.iter();
        places.map(|at| (at.line, at.column)).collect()
    };
    let errors = findings(types, text).errors;
    let errors = errors.iter();
    errors
        .map(|error| (error.message.clone(), places(error)))
        .collect()
}

#[test]
fn what_may_stand_there_passes() {
    let types = types();
    for text in [
        // Boolean => Boolean
        "query Query($booleanArg: Boolean) {
            complicatedArgs { booleanArgField(booleanArg: $booleanArg) } }",
        // Boolean => Boolean within fragment, which stands before or behind
        "fragment booleanArgFrag on ComplicatedArgs { booleanArgField(booleanArg: $booleanArg) }
        query Query($booleanArg: Boolean) { complicatedArgs { ...booleanArgFrag } }",
        "query Query($booleanArg: Boolean) { complicatedArgs { ...booleanArgFrag } }
        fragment booleanArgFrag on ComplicatedArgs { booleanArgField(booleanArg: $booleanArg) }",
        // Boolean! => Boolean
        "query Query($nonNullBooleanArg: Boolean!) {
            complicatedArgs { booleanArgField(booleanArg: $nonNullBooleanArg) } }",
        // Boolean! => Boolean within fragment
        "fragment booleanArgFrag on ComplicatedArgs {
            booleanArgField(booleanArg: $nonNullBooleanArg) }
        query Query($nonNullBooleanArg: Boolean!) { complicatedArgs { ...booleanArgFrag } }",
        // [String] => [String]
        "query Query($stringListVar: [String]) {
            complicatedArgs { stringListArgField(stringListArg: $stringListVar) } }",
        // [String!] => [String]
        "query Query($stringListVar: [String!]) {
            complicatedArgs { stringListArgField(stringListArg: $stringListVar) } }",
        // String => [String] in item position
        "query Query($stringVar: String) {
            complicatedArgs { stringListArgField(stringListArg: [$stringVar]) } }",
        // String! => [String] in item position
        "query Query($stringVar: String!) {
            complicatedArgs { stringListArgField(stringListArg: [$stringVar]) } }",
        // ComplexInput => ComplexInput
        "query Query($complexVar: ComplexInput) {
            complicatedArgs { complexArgField(complexArg: $complexVar) } }",
        // ComplexInput => ComplexInput in field position
        "query Query($boolVar: Boolean = false) {
            complicatedArgs { complexArgField(complexArg: {requiredArg: $boolVar}) } }",
        "query Query($boolVar: Boolean = false) {
            complicatedArgs { complexArgField(complexArg: {requiredField: $boolVar}) } }",
        // A member that has a default may be left out.
        "query Query($boolVar: Boolean) { complicatedArgs {
            complexArgField(complexArg: {requiredField: true, nonNullField: $boolVar}) } }",
        // Boolean! => Boolean! in directive
        "query Query($boolVar: Boolean!) { dog @include(if: $boolVar) }",
        // Int => Int! when variable provides non-null default value
        "query Query($intVar: Int = 1) {
            complicatedArgs { nonNullIntArgField(nonNullIntArg: $intVar) } }",
        // Int => Int! when optional argument provides default value
        "query Query($intVar: Int) {
            complicatedArgs { nonNullFieldWithDefault(nonNullIntArg: $intVar) } }",
        // Boolean => Boolean! in directive with default value with option
        "query Query($boolVar: Boolean = false) { dog @include(if: $boolVar) }",
        // undefined in directive with default value with option
        "{ dog @include(if: $x) }",
        // Allows exactly one non-nullable variable
        "query ($string: String!) {
            complicatedArgs { oneOfArgField(oneOfArg: { stringField: $string }) } }",
        // Undefined variable in oneOf input object
        "{ complicatedArgs { oneOfArgField(oneOfArg: { stringField: $undefinedVariable }) } }",
        // Allows using variables inside object literal, and list literal, in custom scalar
        "query Query($x: Float) { dog { distanceFrom(loc: {x: $x, y: 10.0}) } }",
        "query Query($x: Float) { dog { distanceFrom(loc: [$x, 10.0]) } }",
        // A fragment that nothing spreads has no variables, and operations have variables of their own.
        "fragment F on ComplicatedArgs { nonNullIntArgField(nonNullIntArg: $a) }
        query A($a: Int) { complicatedArgs { intArgField(intArg: $a) } }
        query B($a: Int!) { complicatedArgs { ...F } }",
    ] {
        assert_eq!(found(&types, text), [], "{text}");
    }
}

/// A document of which line two has the variable.
fn case(text: &str, variable: &str, given: &str, wanted: &str, at: [(usize, usize); 2]) {
    let message = format!(
        "Variable \"${variable}\" of type \"{given}\" used in position expecting type \"{wanted}\"."
    );
    assert_eq!(found(&types(), text), [(message, at.to_vec())], "{text}");
}

#[test]
fn what_may_not_stand_there_is_found() {
    // Int => Int!
    let text = "
      query Query($intArg: Int) {
        complicatedArgs {
          nonNullIntArgField(nonNullIntArg: $intArg)
        }
      }";
    case(text, "intArg", "Int", "Int!", [(2, 19), (4, 45)]);
    // Int => Int! within fragment
    let text = "
      fragment nonNullIntArgFieldFrag on ComplicatedArgs {
        nonNullIntArgField(nonNullIntArg: $intArg)
      }

      query Query($intArg: Int) {
        complicatedArgs {
          ...nonNullIntArgFieldFrag
        }
      }";
    case(text, "intArg", "Int", "Int!", [(6, 19), (3, 43)]);
    // Int => Int! within nested fragment
    let text = "
      fragment outerFrag on ComplicatedArgs {
        ...nonNullIntArgFieldFrag
      }

      fragment nonNullIntArgFieldFrag on ComplicatedArgs {
        nonNullIntArgField(nonNullIntArg: $intArg)
      }

      query Query($intArg: Int) {
        complicatedArgs {
          ...outerFrag
        }
      }";
    case(text, "intArg", "Int", "Int!", [(10, 19), (7, 43)]);
    // String over Boolean
    let text = "
      query Query($stringVar: String) {
        complicatedArgs {
          booleanArgField(booleanArg: $stringVar)
        }
      }";
    case(text, "stringVar", "String", "Boolean", [(2, 19), (4, 39)]);
    // String => [String]
    let text = "
      query Query($stringVar: String) {
        complicatedArgs {
          stringListArgField(stringListArg: $stringVar)
        }
      }";
    case(text, "stringVar", "String", "[String]", [(2, 19), (4, 45)]);
    // [String] => [String!]
    let text = "
      query Query($stringListVar: [String])
      {
        complicatedArgs {
          stringListNonNullArgField(stringListNonNullArg: $stringListVar)
        }
      }";
    case(
        text,
        "stringListVar",
        "[String]",
        "[String!]",
        [(2, 19), (5, 59)],
    );
    // Int => Int! fails when variable provides null default value
    let text = "
        query Query($intVar: Int = null) {
          complicatedArgs {
            nonNullIntArgField(nonNullIntArg: $intVar)
          }
        }";
    case(text, "intVar", "Int", "Int!", [(2, 21), (4, 47)]);
}

#[test]
fn directives_and_what_is_inside_values_are_looked_at() {
    // Boolean => Boolean! in directive
    let text = "
      query Query($boolVar: Boolean) {
        dog @include(if: $boolVar)
      }";
    case(text, "boolVar", "Boolean", "Boolean!", [(2, 19), (3, 26)]);
    // String => Boolean! in directive
    let text = "
      query Query($stringVar: String) {
        dog @include(if: $stringVar)
      }";
    case(text, "stringVar", "String", "Boolean!", [(2, 19), (3, 26)]);
    for place in [
        "... @include(if: $v) { dog }",
        "...F @include(if: $v)",
        "dog { ...G }",
    ] {
        let text = format!(
            "query($v: Int) {{ {place} }}
            fragment F on Query {{ dog }} fragment G on Dog @include(if: $v) {{ a }}"
        );
        let found = found(&types(), &text);
        assert_eq!(found.len(), 1, "{place}: {found:?}");
        assert!(found[0].0.ends_with("\"Boolean!\"."), "{found:?}");
    }
    // Members of objects, items of lists, and those of both.
    let text = "
      query($a: String!, $b: Boolean) {
        complicatedArgs {
          complexArgField(complexArg: { stringListField: [\"$b\", $a], requiredField: $b })
        }
      }";
    case(text, "b", "Boolean", "Boolean!", [(2, 26), (4, 85)]);
    let text = "
      query($a: String, $b: Int) {
        complicatedArgs {
          complexArgField(complexArg: { stringListField: [$a, # $b
            $b] })
        }
      }";
    case(text, "b", "Int", "String", [(2, 25), (5, 13)]);
    // What introspection takes.
    let text = "
      query($name: String) { __type(name: $name) { name } }";
    case(text, "name", "String", "String!", [(2, 13), (2, 43)]);
}

#[test]
fn the_one_member_of_an_object_is_never_null() {
    let text = "
        query ($string: String) {
          complicatedArgs {
            oneOfArgField(oneOfArg: { stringField: $string })
          }
        }";
    let message = "Variable \"$string\" is of type \"String\" but must be non-nullable to be used for \
        OneOf Input Object \"OneOfInput\".";
    let expected = (message.to_owned(), vec![(2, 16), (4, 52)]);
    assert_eq!(found(&types(), text), [expected]);
}

#[test]
fn a_fragment_of_several_operations_is_held_against_each() {
    let text = "query A($a: Int!) { complicatedArgs { ...F } }
        query B($a: Int) { complicatedArgs { ...F ...F } }
        query C($a: String) { complicatedArgs { ...F } }
        fragment F on ComplicatedArgs { nonNullIntArgField(nonNullIntArg: $a) }";
    let found = found(&types(), text);
    let found: Vec<_> = found.iter().map(|(text, at)| (&**text, at[0])).collect();
    let of = |given| {
        format!("Variable \"$a\" of type \"{given}\" used in position expecting type \"Int!\".")
    };
    assert_eq!(found, [(&*of("Int"), (2, 17)), (&*of("String"), (3, 17))]);
}

/// Operations that share fragments multiply; circles end, and so does the looking.
#[test]
fn what_is_looked_at_is_bounded() {
    let types = types();
    let mut wide = String::new();
    for n in 0..3_000 {
        write!(
            wide,
            "query q{n}($a: Int!) {{ complicatedArgs {{ ...F }} }} "
        )
        .unwrap();
    }
    wide.push_str("fragment F on ComplicatedArgs { ");
    for n in 0..400 {
        write!(wide, "a{n}: intArgField(intArg: $a) ").unwrap();
    }
    wide.push('}');
    let limits = QueryLimits {
        max_bytes: 1 << 20,
        max_tokens: 100_000,
        max_selections: u64::MAX,
        max_aliases: u64::MAX,
        max_root_fields: u64::MAX,
        ..QueryLimits::default()
    };
    let guard = Guard::new(limits, "type Query { a: Int }", true);
    let checked = guard.check(&wide).unwrap();
    let mut findings = Findings::default();
    find(&types.registry, &checked, &mut findings);
    assert_eq!(findings.steps, MAX_STEPS + 1);
    let told = findings.told();
    assert_eq!(told.len(), 1);
    assert!(told[0].message.contains("too many ways"), "{told:?}");
    // Found is no more than can be told.
    let wrong = wide.replace("Int!", "String");
    let checked = guard.check(&wrong).unwrap();
    let mut findings = Findings::default();
    find(&types.registry, &checked, &mut findings);
    assert_eq!(findings.errors.len(), crate::graphql::errors::MAX_ERRORS);
    assert!(findings.steps < 100, "{}", findings.steps);
}
