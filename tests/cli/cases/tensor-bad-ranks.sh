eckart tensor tucker A.npy --ranks 2,x
