/** Something that happens to transactions. */
@FunctionalInterface
interface Story {
    /** @param name prefix of the topics, groups and transactional ids that the story makes */
    void tell(Broker broker, String name, Transcript transcript) throws Exception;
}
