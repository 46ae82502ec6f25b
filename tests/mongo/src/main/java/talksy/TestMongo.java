package talksy;

import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Serves the MongoDB protocol from one file: {@code TestMongo <folder> <port>}, where port 0 is a
 * free one. Prints {@code ready <port>} once it listens, and ends when its input does, so that it
 * never outlives the test that started it; it then removes the folder that {@code DISPOSABLE} in
 * the environment names.
 */
public final class TestMongo {
    /** The folder to remove, of a server that is not started again. */
    private static final String DISPOSABLE = System.getenv("DISPOSABLE");

    /**
     * What a MongoDB 5.0 reports. The server's own 5.0 reports the wire version 8, which drivers
     * refuse; {@code WIRE_VERSION} in the environment names another.
     */
    private record Mongo5() implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(5, 0, 0);
        }

        @Override
        public int getWireVersion() {
            String version = System.getenv("WIRE_VERSION");
            return version == null ? 13 : Integer.parseInt(version);
        }
    }

    /**
     * One command at a time, answered with a copy: a real server's reply does not change while it
     * is written to the socket. What a write has changed is in the file before the answer, unless the
     * server is disposable: nobody starts that again, and most of its time would go there.
     */
    private static final class DurableBackend extends H2Backend {
        private static final Set<String> WRITES =
                Set.of("insert", "update", "delete", "findAndModify", "create", "createIndexes",
                        "drop", "dropIndexes", "dropDatabase", "renameCollection");

        DurableBackend(Path file) {
            super(file.toString());
            version(new Mongo5());
        }

        @Override
        public synchronized Document handleMessage(MongoMessage message) {
            try {
                return super.handleMessage(message).cloneDeeply();
            } finally {
                if (DISPOSABLE == null && WRITES.contains(message.getDocument().keySet().iterator().next())) {
                    commit();
                }
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        Path file = Path.of(arguments[0], "mongo.h2");
        MongoServer server = new MongoServer(new DurableBackend(file));
        server.bind("127.0.0.1", Integer.parseInt(arguments[1]));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        System.out.println("ready " + server.getLocalAddress().getPort());
        while (System.in.read() != -1) {
            // Nothing is said to it; only the end counts.
        }
        try {
            if (DISPOSABLE != null) {
                removeAll(Path.of(DISPOSABLE));
            }
        } finally {
            Runtime.getRuntime().halt(0);
        }
    }

    private static void removeAll(Path folder) throws IOException {
        try (Stream<Path> paths = Files.walk(folder)) {
            for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        }
    }
}
