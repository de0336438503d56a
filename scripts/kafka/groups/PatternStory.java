import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.TopicPartition;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** What the broker makes of patterns: those of RE2, which have to match the whole of a topic's name. */
final class PatternStory implements Story {
    private static final List<String> NAMES = List.of("a1", "aa", "aaa", "A2", "b-3", "c_4");
    private static final List<String> PATTERNS = List.of("a.*", "a1|aa", "^aa$", "a{2,3}", "a{2}", "a+?", "[a-b].*", "[^a-z]\\d", "(?i)A.*", "(a|b).+", "(?:a)1", "(?P<x>a)1", "\\w+",
        "[[:alpha:]]+", "[[:alpha:]][[:digit:]]", "\\pL\\pN", "\\p{Lu}.", "\\p{Greek}?a1", "\\Qa1\\E", "\\Qb-\\E.", "a\\x31", "a\\x{31}", "a1\\z", "\\Aa1", "a(?#no)1", "(?s).1", "a\\b1", "(?=a)a1", "(a)\\1",
        "a++", "a**", "[a", "(a", "a)", "*a", "a{2,1}", "a{1001}", "\\", "[b-a]", "\\8", "(?<x>a)1", "(?z)a", "x*");

    @Override
    public void tell(Cluster cluster, String name, Transcript transcript) throws Exception {
        for (String topic : NAMES) {
            cluster.create(name + "." + topic, 1);
        }
        // one that waits for its turn cannot be told from one that matches nothing, so that each pattern may match this one as well
        cluster.create(name + ".always", 1);
        List<String> left = new ArrayList<>(PATTERNS);
        while (!left.isEmpty()) {
            List<String> some = left.subList(0, Math.min(8, left.size()));
            tell(cluster, name, some, transcript);
            some.clear();
        }
    }

    private static void tell(Cluster cluster, String name, List<String> patterns, Transcript transcript) throws Exception {
        Map<String, Member> members = new LinkedHashMap<>();
        for (String pattern : patterns) {
            String whole = name + "\\.(?:always|(?:" + pattern + "))";
            String group = name + "." + Integer.toHexString(pattern.hashCode());
            members.put(pattern, new Member("a", cluster.settings(Flavour.CONSUMER, group, Map.of()), (consumer, listener) -> consumer.subscribe(new SubscriptionPattern(whole), listener)));
        }
        for (Map.Entry<String, Member> each : members.entrySet()) {
            Member member = each.getValue();
            Cluster.until(each.getKey() + " is refused or matches", () -> member.failure() != null || !member.owned().isEmpty());
            String matched = member.owned().stream().map(TopicPartition::topic).map(t -> t.substring(name.length() + 1)).filter(t -> !t.equals("always")).sorted().collect(Collectors.joining(" "));
            transcript.say(each.getKey() + ": " + (member.failure() != null ? Cluster.name(member.failure()) : matched.isEmpty() ? "nothing" : matched));
        }
        members.values().forEach(Member::close);
    }
}
