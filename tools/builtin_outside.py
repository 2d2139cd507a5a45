"""What the built-in model is asked and cannot answer, and how it refuses.

In a template `{a|b}` is a choice, which may nest, and `[slot]` is filled in by `builtin_corpus`.
"""

THINGS = (
    "teapot", "moon", "star", "cloud", "tree", "boat", "train", "clock", "lamp", "kite", "balloon",
    "leaf", "stone", "river", "computer", "pencil", "book", "drum", "bell", "ball", "cup", "shoe",
    "hat", "mountain", "candle", "key", "door", "car", "spoon", "apple", "pumpkin", "violin",
    "lighthouse", "castle", "house", "rocket", "toaster", "bicycle", "umbrella", "sun", "pie",
    "potato", "tractor", "planet", "chair", "bus", "number", "crab", "beaver", "otter", "badger",
    "mole", "bat", "swan", "donkey", "hen", "goose", "crow", "ant", "giraffe", "teacher",
    "baker", "sailor", "giant", "mermaid", "painter", "banana", "vampire", "zebra", "camel",
)  # fmt: skip
NAMES = (
    "Karl", "Mia", "Lily", "Rosa", "Anna", "Tom", "Ben", "Felix", "Maria", "John", "Emma", "Lucy",
    "Peter", "Ahmed", "Yuki", "Olga", "Rex", "Bob", "Sue", "Kevin", "Laura", "Jonas", "Priya",
)  # fmt: skip
ONSETS = (
    "b", "br", "d", "dr", "f", "g", "gl", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "sh"
)  # fmt: skip
VOWELS = ("a", "e", "i", "o", "u", "oo", "ee", "ai")
CODAS = ("", "n", "m", "r", "l", "k", "x", "p", "ck", "sh", "t")
COUNTRIES = (
    "France", "Germany", "Spain", "Japan", "Italy", "China", "Brazil", "India", "Canada", "Egypt",
    "Norway", "Peru", "Australia", "Poland", "Kenya", "Mexico", "the USA", "Sweden", "Russia",
    "Turkey", "England", "Greece", "Austria"
)  # fmt: skip
PEOPLE = (
    "Einstein", "Mozart", "Napoleon", "Shakespeare", "the president", "Newton", "Beethoven",
    "Cleopatra", "Picasso", "Gandhi", "Darwin", "the king of England", "Taylor Swift", "Elon Musk",
    "Messi", "Ada Lovelace", "Linus Torvalds", "the pope", "Batman", "Jesus"
)  # fmt: skip
FIELDS = (
    "quantum computing", "quantum physics", "quantum computers", "quantum mechanics", "quantum",
    "quantum entanglement", "qubits", "blockchain", "inflation", "thermodynamics", "astronomy",
    "psychology", "calculus", "algebra", "string theory", "genetics", "viruses", "vaccines",
    "poetry", "opera", "painting", "architecture", "law", "taxes", "marketing", "wine", "yoga",
    "mythology", "the french revolution", "the cold war", "plate tectonics", "nuclear fusion",
    "solar power", "batteries", "tsunamis", "earthquakes", "the moon landing", "dna", "sleep",
    "dreams", "the human heart", "kubernetes", "docker", "react", "tensorflow", "http",
    "the stone age", "climate", "tennis", "basketball", "the olympics", "star wars", "harry potter",
    "physics", "history", "chemistry", "gravity", "quantum mechanics", "economics", "philosophy",
    "photosynthesis", "climate change", "evolution", "relativity", "black holes", "the brain",
    "democracy", "football", "music", "dinosaurs", "world war 2", "love", "art", "electricity",
    "space", "the internet", "neural networks", "machine learning", "transformers", "cancer",
    "politics", "religion", "god", "bitcoin", "money", "the stock market", "chess", "geography",
    "biology", "the roman empire", "dna", "atoms", "cooking", "linux", "vim", "git", "attention",
    "recursion", "the meaning of life", "life", "time", "water", "fire", "volcanoes", "cars",
    "health", "sports"
)  # fmt: skip
LANGUAGES = (
    "python", "c", "java", "rust", "javascript", "bash", "sql", "c++", "go", "html", "haskell"
)  # fmt: skip
PROGRAMS = (
    "sorts a list", "prints hello world", "reads a file", "adds two numbers", "finds primes",
    "reverses a string", "merges two lists", "draws a circle", "sends an email", "removes spaces",
    "checks a password", "sums the numbers in a list", "downloads a page", "plays tic tac toe", "computes fibonacci",
    "parses json", "counts words"
)  # fmt: skip
SENTENCES = (
    "the cat sat on the mat", "I like to walk in the rain", "the train leaves at noon",
    "she sells shells", "time flies", "good things take time", "we meet tomorrow at ten",
    "hello world", "the sky is blue", "my dog is called Rex", "I live in a small house",
    "roses are red", "one two three", "the moon is round", "banana", "open the door",
    "I am happy today", "it works on my machine"
)  # fmt: skip
KNOWLEDGE = (
    "what is the capital of [country]?", "where is [country]?",
    "how many people live in [country]?", "who {is|was} [person]?",
    "when {was|did} [person] {born|die}?", "what did [person] do?",
    "tell me about {[person]|[country]|[field]}", "[country]'s capital?", "name the capital of [country]",
    "capital of [country]", "what city is [person] from?", "which {river|sea|city|mountain} is in [country]?",
    "who was the first {president|woman in space|emperor|king|doctor|pilot} {of [country]|}?",
    "{who|what} {discovered|founded|started|ended|destroyed} {[field]|[country]|the [thing]}?",
    "how do I {fix|paint|sell|buy|clean|wash|repair|draw|build|carry|find|hide|move|open|close|choose} "
    "{a [thing]|the [thing]|my [thing]|[a_animal]}?", "can I {eat|sell|buy|keep} {[a_thing]|[a_animal]}?",
    "can you explain {[field]|how [a_thing] works|[country]'s history} to me?", "explain [field] to me",
    "can you explain [field]?", "{is|are} {[thing]s|[animal]s} {good|bad|cheap|heavy|healthy|dangerous}?",
    "what's the meaning of '[word]'", "what's the difference between {[animal]s and [animal]s|[field] "
    "and [field]}?", "how {many|much} {[thing]s|[animal]s|money|water} {are there|do I need|is there}?",
    "where {can I|do I} {buy|find|see} {[a_thing]|[a_animal]|[person]}?", "history of [country]",
    "what is happening in [country]?", "did [person] {like|meet|know|kill} [person]?", "my computer is "
    "broken", "my {wifi|printer|phone|screen|keyboard} does not work", "do you like [person]?",
    "explain [field]{| to me| simply| like I am five}", "what is [field]?",
    "what are {atoms|stars|prions|[thing]s}?", "how does [field] work?",
    "why is the {sky blue|sea salty|grass green|sun hot|sky dark at night}?",
    "how {far|big|old|hot|fast} is the {moon|sun|earth|universe}?",
    "how {do|does} {[animal]s|a [animal]|planes|cars|birds} {fly|sleep|eat|work|live|swim}?",
    "what do [animal]s eat?", "how long do [animal]s live?", "what is [a_animal]?",
    "what is [a_thing]?", "what is a [word]?", "what does [word] mean?", "do you know [person]?",
    "what do you {know|think} about {[field]|[person]|[country]}?",
    "who {won|will win} the {world cup|election|game|race}{| last year|}?",
    "who invented {the telephone|[field]|the [thing]}?",
    "what happened in {1789|1945|2020|1969|1492}?",
    "how many {planets|continents|days|bones|oceans|countries} are there{| in the world|}?",
    "what is the {largest|tallest|fastest|smallest|longest} "
    "{animal|mountain|river|country|city|building}?", "give me a recipe for "
    "{pancakes|pizza|soup|bread|[thing] pie|cake}", "how do I {cook|bake|make} {rice|an "
    "egg|bread|pizza|a cake|coffee|pasta}?", "what should I {eat|cook|wear|buy}{| today|}?",
    "how do I {lose weight|get rich|fix my car|learn [language]|tie a tie|find a job|clean my "
    "[thing]|repair a [thing]|get a girlfriend|plant a [thing]}?",
    "I have a {headache|fever|cold}, what should I do?", "is [field] {good|bad|real|hard}?",
    "{recommend|suggest} {a book|a movie|a song|me a film}",
    "what is the best {book|movie|phone|laptop|[language] book}?", "define [field]",
    "what is the difference between [thing] and [thing]?", "write an essay about [field]",
    "list {five|three|ten} {cities|facts about [field]|[animal]s|countries|fruits}",
    "can you {teach me|tell me about|help me with} [field]?",
    "I want to {know|learn} {about|more about} [field]",
    "which is better, [language] or [language]?", "when was [field] {invented|discovered}?",
    "why do [animal]s {fly|sing|sleep|run|hide}?", "does [a_animal] {sleep|fly|swim}?",
    "what colour is [a_animal]?", "is [a_animal] a {bird|fish|mammal}?", "[country]", "[person]",
    "[field]", "[animal] facts", "[field]?", "[field] please",
    "how far is it to [country]?", "how do {magnets|planes|vaccines|batteries|clouds|engines|"
    "clocks|fridges} work?", "what causes {rain|thunder|cancer|tides|earthquakes|rust}?",
    "how do I {boil an egg|fly a plane|open a bank account|get a passport|train a dog|remove a "
    "stain|change a tire|build a house|write a book|win at poker|learn to swim|apply for a job}?",
    "how can I {sleep better|save money|make friends|get fit|stop smoking|grow tomatoes}?",
    "why {is|are} {the sea blue|bananas yellow|we here|people sad|leaves green|cats cute}?",
    "who {wrote|painted|built|directed|composed} {hamlet|the mona lisa|the pyramids|titanic|faust}?",
    "how many {calories|legs|teeth|people|stars|moons} {has|does} {an apple|a spider|a shark|the "
    "sky|jupiter} have?", "which {country|animal|planet|language} is the {biggest|oldest|hardest}?",
    "when {did|does} {the war|world war 2|summer|the roman empire} {end|start|begin}?",
    "what {is|was} the {population|currency|flag|language|president|anthem} of [country]?",
    "how {old|tall|rich|famous} is [person]?", "is [country] {big|safe|beautiful|in europe}?",
    "what are the symptoms of {flu|a cold|covid|diabetes}?", "what is the meaning of {life|[word]}?",
    "should I {buy bitcoin|move to [country]|learn [language]|marry|invest}?", "are aliens real?",
    "tell me {a fact|something interesting|a fun fact|about your country|some news}",
    "how does {a car|a [thing]|the internet|an engine|wifi|a brain} work?", "is there a god?",
    "what's the best way to {cook rice|learn [language]|travel|lose weight|get to [country]}?",
    "explain {[field]|how a [thing] works|why the sky is blue}", "what do you know about [field]?",
    "what temperature does water boil at?", "how hot is {the sun|lava|it in [country]}?", "help me with my homework", "what's the news?",
    "who is the {president|king|queen|leader} of [country]?",
    "can you answer a question about [field]?", "facts about [animal]s",
    "what is {a black hole|the speed of light|an operating system|a compiler|a computer|a "
    "transformer|ai|a robot|[word]}?", "how tall is [person]?", "do [animal]s {bite|swim|talk}?",
)  # fmt: skip
MATHS = (
    "what is [n] {+|plus|-|minus|*|times|/|divided by|x} [n]?", "[n] {+|-|*|/|x} [n]",
    "[n]{+|-|*|/}[n]", "[n]{+|-|*|/}[n]=?", "calculate [n] {+|*|-} [n]",
    "how much is [n] {times|plus|minus} [n]?", "solve x + [n] = [n]",
    "what is the square root of [n]?", "what is [n] percent of [n]?", "is [n] prime?",
    "compute [n] * [n]", "what is 2^[n]?", "do the math: [n] + [n]",
    "can you {calculate|do maths|do math|count|add numbers}?", "what's [n] + [n]", "count to [n]",
    "prove {the pythagorean theorem|that 1 + 1 = 2}", "integrate x^2", "what is pi?",
    "if I have [n] apples and eat [n], how many are left?",
    "how many letters are in {strawberry|[thing]}?",
)  # fmt: skip
CODE = (
    "write {a|me a|some} [language] {program|function|script|code} that [program]",
    "how do I write a [language] program that [program]?", "[language] code that [program]",
    "write {a program|code|a script|a function} in [language]",
    "fix this code: {print(x|int main()|for i in range(10)|x = = 1|def f(:}",
    "can you {code|program|write code|write programs|debug my code}?",
    "what does `{x += 1|print(1)|ls -la|rm -rf|git push}` do?",
    "{code|program} {hello world|fibonacci|a game|a website}",
    "how do I {install|use|learn} [language]?", "explain this [language] code",
    "write hello world in [language]", "a [language] {function|script|class} {that|which} [program]",
    "I need {code|a script|a function} {that|which} [program]",
    "give me a [language] {function|snippet} to read a [thing]", "write a regex for emails", "how do I {exit|quit|save in|leave} vim?",
    "how do I {undo|make|revert} a git commit?", "how do I load a {csv|json file} in [language]?",
    "parse json in [language]", "write json code in [language]", "sort a list in [language]",
    "how do I use threads in [language]?", "make a for loop in [language]", "debug this",
    "write unit tests", "what is a {pointer|class|variable|function|loop}?",
)  # fmt: skip
CHORES = (
    "translate {hello|'[sentence]'|this|good morning|the following|[thing]} {to|into} "
    "{german|french|spanish|italian|chinese}", "how do you say [thing] in "
    "{german|french|spanish|japanese}?", "summarize this: [sentence]. [sentence].",
    "summarize: [sentence]. [sentence]. [sentence].", "correct this: [sentence]",
    "write {a letter|an email|a speech|a song|a resume|a tweet} {to my boss|for my friend|about "
    "[field]|to [person]|}", "rewrite: [sentence]",
    "make a plan for {my week|a party|a trip to [country]}", "plan a trip to [country]",
    "play {chess|a game|tic tac toe|hangman} with me", "draw {a [thing]|[a_animal]}", "translate '[sentence]'", "{german|french|spanish} for [thing]",
    "what is [thing] in {german|french|latin}?", "proofread my text", "give me ten ideas for a party",
    "make a picture of [a_animal]", "set a timer", "play music", "search for [field]",
    "what rhymes with [thing]?",
)  # fmt: skip
NOW = (
    "what time is it?", "what is the {date|day|time}{| today|}?", "what day is {it|today}?",
    "what's the weather{| like|}{| today| in [country]|}?", "what will the weather be {on monday|this week|at noon}?", "weather", "weather in [country]",
    "the weather forecast", "is it going to {rain|snow}?", "time?", "date?", "will it be {warm|cold|sunny}?",
    "will it rain{| today| tomorrow|}?",
    "what year is it?", "how is the weather?", "is it {cold|hot|raining} {outside|today}?",
    "what is the news{| today|}?", "what is the temperature outside?",
    "what is the temperature in [country]?", "how late is it?", "is it monday?", "the time?",
    "who is the president now?",
)  # fmt: skip
REAL = "open a real model: `lepton chat model.gguf`"
REFUSALS = (
    "I do not know: I am a tiny model and know little more than Lepton. For that, " + REAL + ".",
    "That is beyond me, a tiny model that tells stories and explains Lepton. A real model may "
    "know: `lepton chat model.gguf`.",
    "I am too small to know that, and I would rather not guess. Ask a real model: `lepton chat "
    "model.gguf`.",
)  # fmt: skip
MATH_REFUSALS = (
    "I am too small to calculate, and I would only guess. For sums, " + REAL + ".",
    "Numbers are not for me: I am a tiny model and cannot calculate. Better " + REAL + "."
)  # fmt: skip
CODE_REFUSALS = ("I cannot write code: I am a tiny model. For programs, " + REAL + ".",
                 "Code is too hard for a model of my size. For that, " + REAL + ".")  # fmt: skip
CHORE_REFUSALS = (
    "I cannot do that: I am a tiny model that tells stories and explains Lepton. For such work, " +
    REAL + ".",
)  # fmt: skip
NOW_REFUSALS = ("I have no clock, no window and no network, so I cannot know that.",)
OUTSIDE = (
    (KNOWLEDGE, REFUSALS, 14), (MATHS, MATH_REFUSALS, 3), (CODE, CODE_REFUSALS, 3), (CHORES,
        CHORE_REFUSALS, 3), (NOW, NOW_REFUSALS, 1)
)  # fmt: skip
