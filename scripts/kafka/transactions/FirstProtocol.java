/** The stories as older clients tell them, which add partitions to transactions themselves: java FirstProtocol <bootstrap> <folder> [story ...] */
final class FirstProtocol {
    private FirstProtocol() { }

    public static void main(String[] arguments) throws Exception {
        new Stories("first").tell(arguments);
    }
}
