//! The one schema, put together from the rooms.

use async_graphql::extensions::ExtensionFactory;
use async_graphql::{MergedObject, MergedSubscription, Schema, SchemaBuilder, ValidationMode};
use talksy_domain::services::Services;

use crate::account::AccountSubscription;
use crate::attachments::AttachmentMutation;
use crate::auth::{AuthMutation, AuthQuery};
use crate::blocks::{BlockMutation, BlockQuery};
use crate::chats::{ChatMutation, ChatQuery, ChatSubscription};
use crate::groups::GroupMutation;
use crate::messages::{MessageMutation, MessageSubscription, ReactionMutation, SearchQuery};
use crate::moderation::{ModerationMutation, ModerationQuery};
use crate::node::NodeQuery;
use crate::presence::{PresenceMutation, PresenceSubscription};
use crate::server::{ServerObject, ServerQuery};
use crate::users::{DeletionMutation, UserMutation, UserQuery};

/// What can be asked.
#[derive(MergedObject, Default)]
pub struct Query(
    ServerQuery,
    UserQuery,
    BlockQuery,
    AuthQuery,
    NodeQuery,
    ChatQuery,
    ModerationQuery,
    SearchQuery,
);

/// What can be changed. The fields of one request are carried out in their order, also behind one
/// that is refused.
#[derive(MergedObject, Default)]
pub struct Mutation(
    AuthMutation,
    UserMutation,
    BlockMutation,
    DeletionMutation,
    ChatMutation,
    GroupMutation,
    MessageMutation,
    ReactionMutation,
    AttachmentMutation,
    PresenceMutation,
    ModerationMutation,
);

/// What can be followed.
#[derive(MergedSubscription, Default)]
pub struct Subscription(
    MessageSubscription,
    AccountSubscription,
    ChatSubscription,
    PresenceSubscription,
);

/// The schema.
pub type TalksySchema = Schema<Query, Mutation, Subscription>;

fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(
        Query::default(),
        Mutation::default(),
        Subscription::default(),
    )
}

/// The schema over the services. A request needs beside it: [`talksy_domain::viewer::Authentication`],
/// [`talksy_domain::viewer::ClientInfo`] and [`crate::loaders::Loaders`].
///
/// It bounds nothing that a request asks for: whoever serves it does.
pub fn schema(services: Services) -> TalksySchema {
    over(services).finish()
}

/// The same schema for operations that [`rules`] has let pass: it does not validate them again.
pub fn validated_schema(services: Services) -> TalksySchema {
    validated(services).finish()
}

/// The same as [`validated_schema`] with an extension, which takes each field some time.
pub fn validated_schema_with(services: Services, extension: impl ExtensionFactory) -> TalksySchema {
    validated(services).extension(extension).finish()
}

/// The schema's types and the rules that operations on it are validated by. There is nothing behind
/// it: the extension sees to it that nothing is executed. `suggests` says whether errors name what is
/// like an unknown name, which takes time with each of them.
pub fn rules(extension: impl ExtensionFactory, suggests: bool) -> TalksySchema {
    let rules = builder().extension(extension);
    let rules = if suggests {
        rules
    } else {
        rules.disable_suggestions()
    };
    rules.finish()
}

fn validated(services: Services) -> SchemaBuilder<Query, Mutation, Subscription> {
    over(services).validation_mode(ValidationMode::Fast)
}

fn over(services: Services) -> SchemaBuilder<Query, Mutation, Subscription> {
    builder().data(services).data(ServerObject::new(&sdl()))
}

/// The schema's SDL, as it is published: it says all that introspection says.
pub fn sdl() -> String {
    let options = async_graphql::SDLExportOptions::new()
        .include_specified_by()
        .prefer_single_line_descriptions();
    with_directives(builder().finish().sdl_with_options(options))
}

/// The directives of the language and the schema's description, as introspection shows them.
/// async-graphql leaves out some, and the descriptions of arguments.
const DIRECTIVES: &str = r#""Marks an element of a GraphQL schema as no longer supported."
directive @deprecated(
	"A reason for why it is deprecated, formatted using Markdown syntax"
	reason: String = "No longer supported"
) on FIELD_DEFINITION | ARGUMENT_DEFINITION | INPUT_FIELD_DEFINITION | ENUM_VALUE
"Directs the executor to include this field or fragment only when the `if` argument is true."
directive @include(
	"Included when true."
	if: Boolean!
) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT
"Indicates that an Input Object is a OneOf Input Object (and thus requires exactly one of its field be provided)"
directive @oneOf on INPUT_OBJECT
"Directs the executor to skip this field or fragment when the `if` argument is true."
directive @skip(
	"Skipped when true."
	if: Boolean!
) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT
"Provides a scalar specification URL for specifying the behavior of custom scalar types."
directive @specifiedBy(
	"URL that specifies the behavior of this scalar."
	url: String!
) on SCALAR
"A GraphQL Schema defines the capabilities of a GraphQL server. It exposes all available types and directives on the server, as well as the entry points for query, mutation, and subscription operations."
"#;

/// Puts the whole directives in the place of the library's, which stand between the types and the
/// roots. Tests see where a newer library has others.
fn with_directives(sdl: String) -> String {
    let start = sdl.find("\"Directs the executor to include");
    match (start, sdl.rfind("schema {")) {
        (Some(start), Some(end)) if start < end => {
            let (types, roots) = (sdl.get(..start), sdl.get(end..));
            [types, Some(DIRECTIVES), roots]
                .into_iter()
                .flatten()
                .collect()
        }
        _ => sdl,
    }
}

#[cfg(test)]
mod tests {
    use super::{builder, sdl};

    /// Rewritten by `make sdl`, which sets `TALKSY_WRITE_SDL`.
    #[test]
    fn the_published_sdl_is_this_schema() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql");
        if std::env::var_os("TALKSY_WRITE_SDL").is_some() {
            std::fs::write(path, sdl()).unwrap();
        }
        let published = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            published == sdl(),
            "schema.graphql is out of date: run `make sdl`"
        );
    }

    /// One that is refused then takes nothing from its siblings, and its errors can name members of
    /// `input` by their path.
    #[tokio::test]
    async fn mutations_are_nullable_and_take_nothing_but_an_input() {
        let query = "{ __schema { mutationType { fields {
            name type { kind name } args { name type { kind ofType { kind name } } } } } } }";
        let answer = builder().finish().execute(query).await;
        let answer = answer.data.into_json().unwrap();
        let fields = &answer["__schema"]["mutationType"]["fields"];
        for field in fields.as_array().unwrap() {
            assert_eq!(field["type"]["kind"], "OBJECT", "{field}");
            let args = field["args"].as_array().unwrap();
            assert!(args.len() <= 1, "{field}");
            for arg in args {
                assert_eq!(arg["name"], "input", "{field}");
                assert_eq!(arg["type"]["kind"], "NON_NULL", "{field}");
                assert_eq!(arg["type"]["ofType"]["kind"], "INPUT_OBJECT", "{field}");
            }
        }
    }

    #[tokio::test]
    async fn everything_in_the_schema_is_described_and_nothing_deprecated() {
        const PART: &str = "name description isDeprecated";
        let query = format!(
            "{{ __schema {{ types {{ kind name description
                 fields(includeDeprecated: true) {{ {PART} args {{ name description }} }}
                 inputFields {{ name description }}
                 enumValues(includeDeprecated: true) {{ {PART} }} }} }} }}"
        );
        let answer = builder().finish().execute(query).await;
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
        let answer = answer.data.into_json().unwrap();
        let mut faults = Vec::new();
        look(&answer["__schema"]["types"], "", &mut faults);
        assert!(
            faults.is_empty(),
            "not described or deprecated: {faults:#?}"
        );
    }

    fn look(items: &serde_json::Value, parent: &str, faults: &mut Vec<String>) {
        for item in items.as_array().into_iter().flatten() {
            let name = item["name"].as_str().unwrap_or_default();
            // Introspection and the built-in scalar are the library's.
            if name.starts_with("__") || name == "ID" {
                continue;
            }
            let path = format!("{parent}.{name}");
            let described = item["description"]
                .as_str()
                .is_some_and(|text| !text.is_empty());
            if !described || item["isDeprecated"] == true {
                faults.push(path.clone());
            }
            for part in ["fields", "args", "inputFields", "enumValues"] {
                look(&item[part], &path, faults);
            }
        }
    }
}
