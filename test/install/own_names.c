/* Names that the library has inside as well, in a program that means something else by them. */
int conf = 1;
int heap_free = 2;
int mapped_free = 3;
