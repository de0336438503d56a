/** Something that happens to a group. */
@FunctionalInterface
interface Story {
    /** @param name prefix of the topics and groups that the story makes */
    void tell(Cluster cluster, String name, Transcript transcript) throws Exception;
}
