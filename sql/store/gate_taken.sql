SELECT taken FROM gates WHERE host = :host AND minute = :minute
