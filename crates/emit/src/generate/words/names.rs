//! Names of people, made up for this generator.

/// In byte order: the smallest one of a poster's draws is the poster's.
#[rustfmt::skip]
pub(crate) const FIRST_NAMES: [&str; 213] = [
    "Aaliyah", "Abel", "Ada", "Adele", "Adrian", "Agnes", "Aidan", "Alana", "Alba", "Alma", "Alvin", "Amelia",
    "Amos", "Anders", "Angus", "Anita", "Annika", "Antoine", "Ariel", "Arlo", "Astrid", "Audrey", "August",
    "Ava", "Axel", "Basil", "Beatrice", "Bella", "Bernard", "Bianca", "Boris", "Bram", "Bridget", "Bruno",
    "Calvin", "Camille", "Carmen", "Cecil", "Celeste", "Chloe", "Clara", "Claude", "Clement", "Conrad", "Cora",
    "Cyrus", "Dahlia", "Dalia", "Damian", "Daphne", "Darius", "Delia", "Dennis", "Diego", "Dina", "Dora",
    "Edgar", "Edith", "Eileen", "Elias", "Elise", "Ella", "Elmer", "Emil", "Enzo", "Erik", "Esme", "Esther",
    "Ethan", "Eva", "Fabian", "Farah", "Felix", "Fergus", "Fiona", "Flora", "Florian", "Frances", "Freya",
    "Gabriel", "Gemma", "Gerald", "Gilbert", "Gloria", "Grace", "Greta", "Gustav", "Hana", "Hannah", "Harold",
    "Hazel", "Hector", "Helen", "Henrik", "Hilda", "Hugo", "Ian", "Ida", "Igor", "Ines", "Ingrid", "Irene",
    "Iris", "Isaac", "Ivan", "Ivy", "Jacob", "Jade", "Jana", "Jasper", "Jean-Luc", "Joel", "Johan", "Jonas",
    "Judith", "Julia", "Juno", "Kai", "Karim", "Katya", "Keira", "Kiran", "Klara", "Lara", "Lars", "Laura",
    "Leah", "Lena", "Leo", "Lewis", "Liam", "Lila", "Linus", "Lorenz", "Louise", "Lucas", "Lucy", "Luna",
    "Mabel", "Magnus", "Maia", "Malik", "Marcel", "Marta", "Mary-Ann", "Matilda", "Maya", "Mila", "Milo",
    "Mina", "Mira", "Moira", "Nadia", "Nathan", "Nell", "Nico", "Nina", "Noah", "Nora", "Odette", "Olaf",
    "Olga", "Olive", "Omar", "Oscar", "Otto", "Paloma", "Pascal", "Paula", "Percy", "Petra", "Phoebe", "Piers",
    "Quentin", "Quinn", "Rafael", "Ramona", "Rania", "Rhea", "Rita", "Robin", "Roland", "Rosa", "Rowan",
    "Ruben", "Ruth", "Sadie", "Samir", "Sara", "Selma", "Simon", "Sofia", "Stella", "Sven", "Tamara", "Tara",
    "Theo", "Tilda", "Tobias", "Una", "Ursula", "Vera", "Victor", "Viola", "Wanda", "Wesley", "Willa", "Xavier",
    "Yara", "Yusuf", "Yvonne", "Zelda", "Zoe",
];

/// In byte order, as [`FIRST_NAMES`].
#[rustfmt::skip]
pub(crate) const LAST_NAMES: [&str; 220] = [
    "Abara", "Abel", "Acker", "Adair", "Adler", "Ahmed", "Ainsley", "Albrecht", "Aldana", "Amato", "Amsel",
    "Antonelli", "Archer", "Ashby", "Aster", "Auclair", "Avery", "Baird", "Banerjee", "Barlow", "Bauer",
    "Becket", "Bellamy", "Benedict", "Bergman", "Bianchi", "Birch", "Blackwood", "Blythe", "Bosch", "Bouchard",
    "Bowen", "Brandt", "Bright", "Brook", "Burgess", "Byrne", "Calder", "Carver", "Castell", "Chandra",
    "Chapman", "Clay", "Colby", "Conway", "Cooper", "Corbin", "Crane", "Cross", "Dahl", "Dalton", "Daly",
    "Danvers", "Darcy", "Dawson", "Delgado", "Devlin", "Dixon", "Drake", "Duarte", "Dubois", "Dunn", "Eastwood",
    "Eckhart", "Eden", "Egan", "Ellery", "Engel", "Erikson", "Espinoza", "Fairfax", "Falk", "Faraday", "Farrow",
    "Fenton", "Ferrari", "Finch", "Fischer", "Fletcher", "Forde", "Foster", "Fraser", "Frost", "Galloway",
    "Garrick", "Gauthier", "Gibson", "Glover", "Goddard", "Graves", "Greer", "Grimm", "Gruber", "Hale",
    "Halloran", "Hansen", "Harlow", "Hart", "Hawthorne", "Heath", "Heller", "Hoffman", "Holloway", "Holt",
    "Hughes", "Hutton", "Ibrahim", "Ingram", "Irving", "Ito", "Jansen", "Jarvis", "Jensen", "Joyce", "Juarez",
    "Kaplan", "Keane", "Keller", "Kendrick", "Khan", "Kimura", "Kirby", "Klein", "Knight", "Kovacs", "Kramer",
    "Lambert", "Landau", "Larsen", "Laurent", "Leclair", "Lennox", "Lindgren", "Locke", "Lombard", "Lowell",
    "Lund", "Lyon", "Mackay", "Madden", "Maher", "Marlow", "Marsh", "Maxwell", "Mercer", "Meyer", "Moreau",
    "Mori", "Morrow", "Munro", "Nakamura", "Nash", "Navarro", "Neumann", "Nolan", "Norwood", "Novak", "O'Brien",
    "O'Malley", "Oakley", "Olsen", "Ortega", "Osborne", "Owens", "Palmer", "Parrish", "Patel", "Pereira",
    "Petrov", "Pierce", "Porter", "Quill", "Quinlan", "Ramsey", "Raven", "Reyes", "Ridley", "Rivera", "Rossi",
    "Rowe", "Russo", "Saito", "Salazar", "Sato", "Schmidt", "Sharma", "Silva", "Sinclair", "Sokolov", "Stone",
    "Storm", "Strand", "Sutton", "Tanaka", "Tate", "Thorne", "Tolbert", "Torres", "Underwood", "Valdez",
    "Vance", "Varga", "Vaughn", "Vidal", "Vogel", "Wagner", "Walsh", "Ward", "Weber", "Wells", "West",
    "Whitlock", "Winter", "Wolfe", "Yates", "York", "Young", "Zamora", "Ziegler", "Zimmer",
];
