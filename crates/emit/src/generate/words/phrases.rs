//! The words and phrases of generated texts.

/// A category, and the things that its posts mention.
#[derive(Debug)]
pub(crate) struct CategoryWords {
    pub(crate) name: &'static str,
    pub(crate) things: [&'static str; 14],
}

/// The 13 categories, in the order of their rows.
#[rustfmt::skip]
pub(crate) const CATEGORIES: [CategoryWords; 13] = [
    CategoryWords {
        name: "art",
        things: [
            "watercolour landscape", "oil painting", "charcoal portrait", "paper collage", "line drawing",
            "gouache study", "lino print", "clay sculpture", "pastel still life", "mural", "sketchbook page",
            "ink wash", "mosaic", "gallery wall",
        ],
    },
    CategoryWords {
        name: "beauty",
        things: [
            "evening skincare", "nail design", "braided hairstyle", "eye make-up", "lip balm", "clay mask",
            "hair oil", "fringe cut", "body scrub", "bath ritual", "matte lipstick", "brow shape", "rose toner",
            "sun cream",
        ],
    },
    CategoryWords {
        name: "christmas",
        things: [
            "advent calendar", "door wreath", "gingerbread house", "tree ornament", "table garland", "gift wrap",
            "mulled punch", "window star", "stocking", "snow globe", "paper angel", "candle ring", "carol evening",
            "cinnamon cookie",
        ],
    },
    CategoryWords {
        name: "diy-and-crafts",
        things: [
            "macrame hanger", "cardboard lamp", "felt animal", "bead necklace", "knitted scarf", "paper flower",
            "salt dough", "wooden toy", "quilt", "clay pot", "tie-dye shirt", "origami crane", "jar lantern",
            "friendship band",
        ],
    },
    CategoryWords {
        name: "education",
        things: [
            "reading corner", "fractions game", "science experiment", "spelling list", "classroom poster",
            "phonics card", "history timeline", "lesson plan", "study schedule", "essay outline", "map activity",
            "counting song", "vocabulary wall", "alphabet craft",
        ],
    },
    CategoryWords {
        name: "event-planning",
        things: [
            "garden party", "seating chart", "dessert table", "balloon arch", "guest list", "birthday brunch",
            "welcome sign", "picnic setup", "table centrepiece", "invitation suite", "photo corner",
            "reunion dinner", "party favour", "cake stand",
        ],
    },
    CategoryWords {
        name: "finance",
        things: [
            "monthly budget", "emergency fund", "savings challenge", "debt plan", "grocery list", "side income",
            "retirement plan", "spending tracker", "index fund", "tax checklist", "money habit", "bill calendar",
            "cash envelope", "first mortgage",
        ],
    },
    CategoryWords {
        name: "home-decor",
        things: [
            "living room", "entryway bench", "kitchen shelf", "reading nook", "bathroom tile", "bedroom wall",
            "linen curtain", "coffee table", "rattan chair", "balcony garden", "floor lamp", "hallway mirror",
            "open shelving", "farmhouse sink",
        ],
    },
    CategoryWords {
        name: "mens-fashion",
        things: [
            "denim jacket", "linen shirt", "leather boot", "wool overcoat", "white sneaker", "navy suit", "field watch",
            "knit polo", "cargo trouser", "summer outfit", "rain parka", "travel bag", "pocket square", "corduroy blazer",
        ],
    },
    CategoryWords {
        name: "quotes",
        things: [
            "morning thought", "words of courage", "line about friendship", "kind reminder", "saying for hard days",
            "note to self", "thought on patience", "travel saying", "family motto", "letter to the future",
            "proverb", "words of thanks", "book line", "lesson on change",
        ],
    },
    CategoryWords {
        name: "tattoos",
        things: [
            "fine line flower", "forearm wave", "mountain outline", "wrist symbol", "swallow design", "ankle vine",
            "compass rose", "moon phase", "geometric wolf", "back piece", "shoulder fern", "lettering idea",
            "matching design", "dotwork leaf",
        ],
    },
    CategoryWords {
        name: "travel",
        things: [
            "coastal road", "mountain hut", "old town walk", "island hopping", "night train", "packing list",
            "hidden beach", "desert camp", "waterfall hike", "food market", "winter village", "city weekend",
            "lake cabin", "border crossing",
        ],
    },
    CategoryWords {
        name: "vehicles",
        things: [
            "vintage coupe", "camper van", "electric bike", "roadster", "pickup bed", "cafe racer", "off-road truck",
            "family wagon", "sidecar", "engine bay", "racing stripe", "leather seat", "garage project", "alpine rally",
        ],
    },
];

/// Adjectives of things.
#[rustfmt::skip]
pub(crate) const ADJECTIVES: [&str; 32] = [
    "quick", "cosy", "modern", "simple", "vintage", "handmade", "colourful", "minimal", "rustic", "bold", "gentle",
    "clever", "budget", "classic", "tiny", "bright", "quiet", "natural", "playful", "timeless", "warm", "fresh",
    "small-space", "surprising", "daily", "soft", "dark", "weekend", "beginner", "lovely", "scandinavian", "free",
];

/// First words of titles.
#[rustfmt::skip]
pub(crate) const TITLE_OPENERS: [&str; 16] = [
    "How to make a", "25", "The best", "My favourite", "A guide to the", "15 ideas for a", "Inspiration:", "Try this",
    "Step by step:", "The most", "A very", "Why we love the", "Before and after:", "All about the", "Plan a", "DIY",
];

/// Separators between two things in a title.
#[rustfmt::skip]
pub(crate) const TITLE_JOINTS: [&str; 16] = [
    " with a ", " and a ", " - ", " | ", ": ", " for a ", " in a ", ", ", " and one more ", " + ", " or a ", " by the ",
    " & ", " beside a ", " from a ", " / ",
];

/// First words of the sentences of descriptions.
#[rustfmt::skip]
pub(crate) const SENTENCE_OPENERS: [&str; 16] = [
    "Discover how to plan a", "This", "Here is a", "Find out why a", "Learn everything about the", "Save this",
    "We spent a weekend on a", "Looking for a", "You only need an hour for a", "Our readers asked for a",
    "There is nothing like a", "Start with a", "If you like a", "It took me years to find a", "See more of this",
    "A friend showed me her",
];

/// Last words of the sentences of descriptions.
#[rustfmt::skip]
pub(crate) const SENTENCE_TAILS: [&str; 12] = [
    " that works in every season.", " you can finish today.", " with a list of everything you need.",
    " for the whole family!", " without spending much.", " and share it with a friend.",
    " made from things you have at home.", ", step by step.", " that nobody will forget.", " - a free printable inside.",
    " in less than 30 minutes.", "? Then this one is for you.",
];

/// Accented text, which careless readers break.
#[rustfmt::skip]
pub(crate) const ACCENTS: [&str; 12] = [
    " – très élégant ", " (½ price) ", " d’été ", " “slow living” ", " Größe M ", " niño’s ", " décor ", " ☀️ ",
    " осенний уют ", " 手作りのアイデア ", " שלום ", " cafe\u{301} ",
];

/// Characters outside the basic multilingual plane: surrogate pairs where they are escaped.
#[rustfmt::skip]
pub(crate) const ASTRAL: [&str; 8] = [" 🎄 ", " 😍 ", " 🏡🌿 ", " 𝓁𝑜𝓋𝑒 ", " 👩‍🎨 ", " 💍 ", " 🇳🇴 ", " 🧶 "];

/// Characters that JSON escapes.
#[rustfmt::skip]
pub(crate) const QUOTED: [&str; 6] =
    [" \"a must\" ", " 24\" wide ", " the so-called \"good room\" ", " A/B \\ C ", " \"why not?\" ", " \"tip\": "];

/// Last words of tags. The first ones are empty.
#[rustfmt::skip]
pub(crate) const TAG_TAILS: [&str; 12] =
    ["", "", "", " ideas", " inspiration", " diy", " tips", " design", " trends", " projects", " for beginners", " 101"];

/// First words of poster names.
#[rustfmt::skip]
pub(crate) const POSTER_FIRST: [&str; 48] = [
    "Amber", "Birch", "Blue", "Bramble", "Bright", "Brook", "Cedar", "Clever", "Cloud", "Clover", "Copper", "Coral",
    "Crimson", "Dawn", "Ember", "Evergreen", "Fern", "Field", "Forest", "Garden", "Golden", "Happy", "Hazel", "Honey",
    "Indigo", "Ivory", "Juniper", "Lemon", "Lilac", "Little", "Maple", "Meadow", "Merry", "Misty", "Moss", "Northern",
    "Olive", "Paper", "Pine", "Quiet", "River", "Rose", "Silver", "Stone", "Sunny", "Velvet", "Wild", "Winter",
];

/// Second words of poster names.
#[rustfmt::skip]
pub(crate) const POSTER_SECOND: [&str; 64] = [
    "Acorn", "Anchor", "Arrow", "Atelier", "Attic", "Barn", "Basket", "Bay", "Bench", "Bird", "Boat", "Button",
    "Cabin", "Canvas", "Chapter", "Compass", "Corner", "Cottage", "Craft", "Door", "Feather", "Finch", "Fox", "Gate",
    "Glade", "Harbor", "Hare", "Hearth", "Hill", "House", "Island", "Journal", "Kettle", "Kitchen", "Lane", "Lantern",
    "Loft", "Loom", "Market", "Mill", "Nest", "Notebook", "Oak", "Orchard", "Owl", "Palette", "Path", "Pebble",
    "Pencil", "Porch", "Ribbon", "Room", "Sail", "Shed", "Spoon", "Studio", "Table", "Thread", "Trail", "Valley",
    "Wagon", "Willow", "Window", "Workshop",
];

/// Text before, between and after the two words of a poster name. No two forms can produce the same name.
#[rustfmt::skip]
pub(crate) const POSTER_FORMS: [[&str; 3]; 32] = [
    ["", " ", ""], ["The ", " ", ""], ["", "", ""], ["", " ", " Co."], ["", " & ", ""], ["", ".", ""],
    ["", " ", " Blog"], ["My ", " ", ""], ["", " ", " by Design"], ["Studio ", " ", ""], ["", " ", " Home"],
    ["", " and ", ""], ["", "_", ""], ["", " ", " Collective"], ["Hello ", " ", ""], ["", " ", " Weekly"],
    ["Café ", " ", ""], ["", " ", " - ideas for every day"], ["Team ", " ", ""], ["", " ", " Press"],
    ["", " ", " Stories"], ["At the ", " ", ""], ["", " ", " | Guide"], ["", " ", " Daily"], ["House of ", " ", ""],
    ["", " ", " Life"], ["", " ", " LLC"], ["", " ", " \"Original\""], ["", " ", " Makers"], ["Meet ", " ", ""],
    ["", " ", " Online"], ["From ", " ", ""],
];
