/** The stories as the pinned clients tell them (KIP-890), with what only these can do: java SecondProtocol <bootstrap> <folder> [story ...] */
final class SecondProtocol {
    private SecondProtocol() { }

    public static void main(String[] arguments) throws Exception {
        new Stories("second").with("newer-admin", new NewerAdminStory()).tell(arguments);
    }
}
