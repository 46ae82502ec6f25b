// How Monaco, the editor inside of GraphiQL, is set up.

// Monaco checks what is typed in workers. Vite builds each into a file of its own, so that a
// content security policy that allows no foreign and no inline scripts is enough.
import EditorWorker from 'monaco-editor/esm/vs/editor/editor.worker.js?worker';
import JsonWorker from 'monaco-editor/esm/vs/language/json/json.worker.js?worker';
import GraphQLWorker from 'monaco-graphql/esm/graphql.worker.js?worker';

globalThis.MonacoEnvironment = {
  getWorker(_id, label) {
    switch (label) {
      case 'graphql':
        return new GraphQLWorker();
      case 'json':
        return new JsonWorker();
      default:
        return new EditorWorker();
    }
  },
};

// Long lines wrap in all editors; GraphiQL has it so in the one of the answer alone, and no setting. It
// loads this same module later, so that each of its editors is told of here.
void import('monaco-graphql/esm/monaco-editor.js').then(({ editor }) =>
  editor.onDidCreateEditor((created) => created.updateOptions({ wordWrap: 'on' })),
);
