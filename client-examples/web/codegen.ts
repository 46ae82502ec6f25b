import type { CodegenConfig } from '@graphql-codegen/cli';

const config: CodegenConfig = {
  // A file with the SDL, or a server's `/graphql`.
  schema: process.env['CHAT_SCHEMA'] ?? 'schema.graphql',
  documents: 'src/**/*.graphql',
  generates: {
    [process.env['CHAT_GENERATED'] ?? 'src/generated/']: {
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: {
        importExtension: '.js',
        // What the wire has for these; an upload is a part of the request's form.
        scalars: { DateTime: 'string', ID: 'string', JSON: 'unknown', Upload: 'Blob' },
        strictScalars: true,
        enumsAsTypes: true,
        useTypeImports: true,
      },
    },
  },
};

export default config;
