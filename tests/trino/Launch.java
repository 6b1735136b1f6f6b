/** Starts Trino 435: its own main class is in an artifact of its own, and says no more than this. */
public class Launch {
    public static void main(String[] arguments) {
        new io.trino.server.Server().start("435");
    }
}
