// The rules of graphql-eslint for schemas and for Relay, but for what is said here.
import graphql from '@graphql-eslint/eslint-plugin';

const { configs, parser } = graphql;

export default [
  {
    files: ['schema.graphql'],
    languageOptions: { parser, parserOptions: { graphQLConfig: { schema: 'schema.graphql' } } },
    plugins: {
      '@graphql-eslint': graphql,
      local: {
        processors: {
          // The SDL defines the directives of the specification too. No type of ours need use them. And by whom
          // something was reported is not the type's name before a field's.
          builtIn: {
            meta: { name: 'built-in', version: '1' },
            preprocess: (text) => [text],
            postprocess: (found) =>
              found
                .flat()
                .filter(
                  ({ message }) =>
                    !/^Directive `(deprecated|oneOf)` is unreachable\.?$|^Field "reportedBy" starts with /.test(message),
                ),
          },
        },
      },
    },
    processor: 'local/builtIn',
    rules: {
      ...configs['flat/schema-recommended'].rules,
      ...configs['flat/schema-relay'].rules,
      // Types without an id are values, and not objects of a cache.
      '@graphql-eslint/strict-id-in-types': 'off',
      // Short descriptions are printed on one line, which is not the style that it asks for.
      '@graphql-eslint/description-style': 'off',
      // Most lists go forward only.
      '@graphql-eslint/relay-arguments': ['error', { includeBoth: false }],
      '@graphql-eslint/relay-edge-types': [
        'error',
        {
          // Members, receipts and changes have an id or a cursor, but are not for `Query.node`.
          shouldImplementNode: false,
          // Connections have `nodes` beside `edges`. Lists of few, such as `SystemNotice.subjects`, have no pages.
          listTypeCanWrapOnlyEdgeType: false,
        },
      ],
    },
  },
];
